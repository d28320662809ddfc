"""Tables as spreadsheets and hands leave them, and what must be said of each: the cases of test_bad_tables.py.

Every kind is a list; `KINDS` names them. Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

HEAD = "subject\tsession\tyears\tpath\n"
ONE = HEAD + "001\t01\t0\ta.nii\n"
TWO = HEAD + "001\t01\t0\ta.nii\n002\t01\t0\tb.nii\n"
VISITS = HEAD + "001\t01\t0\ta.nii\n001\t02\t4\tb.nii\n"
DATED = "subject\tsession\tdate\tpath\n001\t01\t2015-03-01\ta.nii\n001\t02\t{}\tb.nii\n"
PEOPLE = "subject\tfollowup_years\tevent\n"


@dataclass(frozen=True)
class TableCase:
    """The tables, and other `files` below the working folder (None: a folder).

    `refused`: a part of every error, in any order, and there are no others. Without it the tables are read, with
    `noticed` among the notices and `read` (table, column, value) in the first row.
    """

    words: str
    scans: str | bytes | None = ONE
    participants: str | bytes | None = None
    qc: str | bytes | None = None
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    noticed: tuple[str, ...] = ()
    read: tuple[str, str, object] | None = None


def people(*rows: str, columns: str = "followup_years\tevent") -> str:
    return "\n".join([f"subject\t{columns}", *rows]) + "\n"


def nearly(written: str, meant: str, row: int = 2) -> TableCase:
    """A subject of participants.tsv that scans.tsv writes otherwise."""
    told = f"participants.tsv row {row}, patient {written}: scans.tsv has no such patient, but one without a row"
    scans = HEAD + f"{meant}\t01\t0\ta.nii\n"
    return TableCase(f"{written} for {meant}", scans, people(f"{written}\t4\t1"), refused=(told,))


def not_a_name(written: str, meant: str) -> TableCase:
    """A subject of participants.tsv that is no name at all, but like one of scans.tsv."""
    told = f"participants.tsv row 2: subject is {written!r}; the patient, as in scans.tsv; {meant} is probably meant"
    return TableCase(
        f"{written} for {meant}", HEAD + f"{meant}\t01\t0\ta.nii\n", people(f"{written}\t4\t1"), refused=(told,)
    )


JOINS = [
    TableCase(
        "zeros lost by a spreadsheet",
        TWO,
        people("1\t4\t1", "2\t5\t0"),
        refused=("nearly the same: 1 is probably 001, 2 is probably 002; write subjects as in scans.tsv",),
    ),
    nearly("p07", "P07"),
    nearly("P7", "P007"),
    nearly("12000", "12E3"),
    nearly("0042", "42"),
    not_a_name("sub-001", "001"),
    not_a_name("P 07", "P07"),
    not_a_name("P-07", "P07"),
    not_a_name("P_07", "P07"),
    not_a_name("\uff10\uff10\uff11", "001"),
    not_a_name("1.0", "001"),
    not_a_name("1,00", "1"),
    not_a_name("1.2E+04", "12000"),
    not_a_name("'001", "001"),
    not_a_name("Patient 1", "001"),
    not_a_name("ID-12", "12"),
    nearly("PO7", "P07"),
    nearly("OO1", "001"),
    nearly("Pl1", "P11"),
    nearly("patient001", "001"),
    TableCase(
        "a letter for a digit in one row of two",
        HEAD + "P07\t01\t0\ta.nii\nP08\t01\t0\tb.nii\n",
        people("P07\t4\t1", "PO8\t5\t0"),
        refused=("PO8 is probably P08",),
    ),
    TableCase(
        "two rows of one patient under two names",
        ONE,
        people("001\t4\t1", "1\t5\t0"),
        noticed=("rows beside those of the same patients, which are not read: 1 is probably 001",),
    ),
    TableCase(
        "a set for a patient without scans that are kept",
        HEAD[:-1] + "\texclude\n001\t01\t0\ta.nii\t\n002\t01\t0\tb.nii\tmoved\n",
        people("001\ttrain", "002\ttest", columns="split"),
        noticed=("patients all of whose scans are left out, who are in no set: 002 (test)",),
    ),
    TableCase(
        "a visit under two names",
        HEAD + "001\t1\t0\ta.nii\n001\t01\t1\tb.nii\n",
        noticed=("visits that may be one and the same: patient 001, 01 and 1",),
    ),
    TableCase(
        "nobody joins", TWO, people("A17\t4\t1"), refused=("none of its 1 patients (A17) is in scans.tsv (001, 002)",)
    ),
    TableCase(
        "a set for nobody",
        TWO,
        people("001\ttrain", "077\ttest", columns="split"),
        refused=("participants.tsv row 3, patient 077: split is test, and scans.tsv has no such patient",),
    ),
    TableCase(
        "a set for nobody, with a likely patient",
        TWO,
        people("001\ttrain", "2\ttest", columns="split"),
        refused=("participants.tsv row 3, patient 2: scans.tsv has no such patient",),
    ),
    TableCase(
        "a row of nobody",
        ONE,
        people("001\t4\t1", "077\t4\t1"),
        noticed=("participants.tsv: 1 of 2 rows are of patients of scans.tsv, 1 of nobody there (077)",),
    ),
    TableCase(
        "a patient without a row",
        TWO,
        people("001\t4\t1"),
        noticed=("1 of 2 patients have no row, so no outcome (002)",),
    ),
    TableCase(
        "everybody joins",
        ONE,
        people("001\t4\t1"),
        noticed=("1 of 1 rows are of patients of scans.tsv; every patient",),
    ),
    TableCase("no participants", ONE, noticed=("There is no participants.tsv: no outcome is known",)),
    TableCase(
        "one patient under two names",
        HEAD + "1\t01\t0\ta.nii\n001\t02\t1\tb.nii\n",
        noticed=("may be one and the same: 001 and 1",),
    ),
    TableCase(
        "a visit's zeros lost in qc.tsv",
        ONE,
        qc="subject\tsession\treason\n001\t1\tmoved\n",
        refused=(
            "qc.tsv row 2, patient 001: scans.tsv has no session 1 of this patient; mend it, or remove the row; 01 is",
        ),
    ),
    TableCase(
        "a patient's zeros lost in qc.tsv",
        ONE,
        qc="subject\tsession\treason\n1\t01\tmoved\n",
        refused=(
            "qc.tsv row 2, patient 1: scans.tsv has no such patient; mend subject, or remove the row; 001 is probably",
        ),
    ),
]


def stray(name: str, expected: str, content: str | bytes | None = "subject\tage\n001\t60\n") -> TableCase:
    """A file that looks like one that is not there."""
    return TableCase(name, ONE, files={name: content}, refused=(f"{name} looks like {expected} and is read by nobody",))


def by_columns(name: str, expected: str, content: str) -> TableCase:
    """A file of any name that holds what a table that is not there would."""
    return TableCase(
        name, ONE, files={name: content}, noticed=(f"{name} has columns of {expected}, which is not there",)
    )


def aside(name: str, content: str | bytes | None = "x") -> TableCase:
    """A file that is taken for nothing."""
    return TableCase(f"{name} is no table", ONE, files={name: content}, noticed=("There is no participants.tsv",))


STRAY_TABLES = [
    stray("config/participants.csv", "participants.tsv", "subject,age\n001,60\n"),
    stray("config/Participants.tsv", "participants.tsv"),
    stray("config/participants.TSV", "participants.tsv"),
    stray("config/participants.tsv.txt", "participants.tsv"),
    stray("config/participants", "participants.tsv"),
    stray("config/participant.tsv", "participants.tsv"),
    stray("config/particpants.tsv", "participants.tsv"),
    stray("config/participants (1).tsv", "participants.tsv"),
    stray("config/participants_2024.csv", "participants.tsv"),
    stray("config/patients.xlsx", "participants.tsv", b"PK\x03\x04"),
    stray("config/QC.tsv", "qc.tsv", "subject\tsession\treason\n"),
    stray("config/qc.csv", "qc.tsv", "subject,session,reason\n"),
    stray("participants.tsv", "participants.tsv"),
    stray("qc.tsv", "qc.tsv", "subject\tsession\treason\n"),
    stray("participants.xlsx", "participants.tsv", b"PK\x03\x04"),
    stray("Config/participants.tsv", "participants.tsv"),
    stray("config/participants.parquet", "participants.tsv", b"PAR1"),
    stray("config/participants.sav", "participants.tsv", b"$FL2"),
    stray("config/participants.tsv.1", "participants.tsv"),
    stray("config/participants_tsv.txt", "participants.tsv"),
    stray("config/Copy of participants.tsv", "participants.tsv"),
    stray("config/Kopie von participants.csv", "participants.tsv"),
    stray("config/Patienten.csv", "participants.tsv"),
    by_columns("config/demographics.tsv", "participants.tsv", "subject\tage\tsex\n001\t60\tM\n"),
    by_columns("config/outcomes.csv", "participants.tsv", '"subject";"event";"followup_years"\n'),
    by_columns("config/exclusions.tsv", "qc.tsv", "subject\tsession\treason\n001\t01\tmoved\n"),
    TableCase(
        "a folder", ONE, files={"config/participants.tsv": None}, refused=("config/participants.tsv is a folder, or",)
    ),
    TableCase(
        "scans.csv alone",
        None,
        files={"config/scans.csv": "subject,session,path\n"},
        refused=("scans.tsv is not there", "config/scans.csv looks like scans.tsv and is read by nobody"),
    ),
    TableCase(
        "scans.tsv one folder up",
        None,
        files={"scans.tsv": ONE},
        refused=("scans.tsv is not there", "scans.tsv looks like scans.tsv and is read by nobody"),
    ),
    TableCase(
        "participants.csv beside participants.tsv",
        ONE,
        people("001\t4\t1"),
        files={"config/participants.csv": "subject\n"},
        noticed=("config/participants.csv is not read, because participants.tsv is there",),
    ),
    aside("config/participants.tsv.bak"),
    aside("config/participants_old.tsv"),
    aside("config/~$participants.xlsx"),
    aside("config/.participants.tsv.swp"),
    aside("config/qc_notes.txt"),
    aside("config/README.md"),
    aside("config/participants.json"),
    aside("config/participants.tsv.20240101"),
    aside("participants.tsv", "participant_id\tage\nsub-001\t60\n"),
]

STRAY_SETTINGS = [
    "config/config.yml",
    "config/Config.yaml",
    "config/config.YAML",
    "config/config.yaml.txt",
    "config/configs.yaml",
    "config/confg.yaml",
    "config/config.json",
    "config/configuration.yaml",
    "config/config (1).yaml",
    "config.yaml",
    "config.yml",
    "Config/config.yaml",
]
OTHER_SETTINGS = [
    "config/paper.yaml",
    "config/small.yaml",
    "config/config.yaml.bak",
    "config/.config.yaml.swp",
    "config.json",
]


def impossible(day: str, why: str) -> TableCase:
    told = f"scans.tsv row 3, patient 001: date is {why}"
    return TableCase(f"a visit on {day}", DATED.format(day), refused=(told,))


def limit(words: str, participants: str, told: str, scans: str = VISITS) -> TableCase:
    return TableCase(words, scans, participants, refused=(told,))


FUTURE, UNKNOWN_DAY = "in the future", "from before chests were scanned"
TIMES = [
    impossible("1900-01-01", UNKNOWN_DAY),
    impossible("1899-12-30", UNKNOWN_DAY),
    impossible("0001-01-01", UNKNOWN_DAY),
    impossible("1970-01-01", UNKNOWN_DAY),
    impossible("1904-01-01", UNKNOWN_DAY),
    impossible("9999-12-31", FUTURE),
    impossible("2099-01-01", FUTURE),
    impossible((date.today() + timedelta(days=3)).isoformat(), FUTURE),
    impossible("2015-02-30", "not a date"),
    impossible("20150301", "not a date"),
    impossible("2015-W10-1", "not a date"),
    impossible("01.03.2015", "not a date"),
    impossible("42064", "not a date"),
    TableCase(
        "years below 0", VISITS.replace("\t4\t", "\t-1\t"), refused=("years is '-1', not a number from 0 to 60",)
    ),
    TableCase(
        "years of a calendar", VISITS.replace("\t4\t", "\t2015\t"), refused=("years is '2015', not a number from 0",)
    ),
    TableCase("years as a placeholder", VISITS.replace("\t4\t", "\t999\t"), refused=("years is '999', not a number",)),
    TableCase(
        "years and dates that contradict each other",
        "subject\tsession\tyears\tdate\tpath\n001\t01\t0\t2015-03-01\ta.nii\n001\t02\t3\t2016-03-01\tb.nii\n",
        refused=("scans.tsv row 3, patient 001: years and date contradict each other, 3.00 and 1.00 years after",),
    ),
    TableCase(
        "years beside a date that is none",
        "subject\tsession\tyears\tdate\tpath\n001\t01\t0\tMarch\ta.nii\n",
        refused=("scans.tsv row 2, patient 001: date is not a date",),
    ),
    TableCase(
        "years that are rounded dates",
        "subject\tsession\tyears\tdate\tpath\n001\t01\t0\t2015-03-01\ta.nii\n001\t02\t1.4\t2016-07-10\tb.nii\n",
        read=("scans", "years", 0.0),
    ),
    TableCase("two visits at one time", VISITS.replace("\t4\t", "\t0\t"), noticed=("patient 001, sessions 01, 02",)),
    TableCase("two visits on a day", DATED.format("2015-03-01"), noticed=("visits at one time",)),
    TableCase(
        "a visit to the fourth decimal at one time",
        VISITS.replace("\t4\t", "\t0.0004\t"),
        noticed=("visits at one time",),
    ),
    TableCase(
        "a date for not known of a scan that is left out for it",
        "subject\tsession\tdate\tpath\texclude\n001\t01\t1900-01-01\ta.nii\tno date\n001\t02\t2015-03-01\tb.nii\t\n",
        read=("scans", "session", "02"),
    ),
    TableCase(
        "a scan after death that is left out for it",
        VISITS.replace("path\n", "path\texclude\n")
        .replace("a.nii\n", "a.nii\t\n")
        .replace("b.nii\n", "b.nii\tof another\n"),
        people("001\t3\t1"),
        read=("participants", "followup_years", 3.0),
    ),
    TableCase("months for years", VISITS.replace("\t4\t", "\t24\t"), noticed=("more than 20 years apart",)),
    TableCase("a clock that was never set", DATED.format("1980-01-01"), noticed=("patient 001, 35.162 years",)),
    TableCase("visits of half a life", VISITS.replace("\t4\t", "\t19\t"), read=("scans", "years", 0.0)),
    limit("a scan after death", people("001\t3\t1"), "followup_years is 3, before the patient's scan at 4 years"),
    limit(
        "a scan after death, by dates",
        people("001\t1\t1"),
        "followup_years is 1, before the patient's scan at 2.001 years",
        DATED.format("2017-03-01"),
    ),
    limit("follow-up of a life", people("001\t99\t1"), "followup_years is '99', not a number from 0 to 80"),
    limit(
        "older than anybody when last seen",
        people("001\t95\t40\t0", columns="age\tfollowup_years\tevent"),
        "at 135; mend age",
    ),
    limit(
        "older than anybody at a scan",
        people("001\t118", columns="age"),
        "age is 118, and the patient is seen 4 years later",
    ),
]


def cell(words: str, written: str, told: str = "", column: str = "event", value: object = None) -> TableCase:
    """One cell of participants.tsv, refused in row 2 or read as a value."""
    table = people(f"001\t{written}", columns=column)
    if told:
        return TableCase(words, ONE, table, refused=(f"participants.tsv row 2, patient 001: {column} is {told}",))
    return TableCase(words, ONE, table, read=("participants", column, value))


CELLS = [
    cell("nearly an event", "0.9999", "'0.9999', not a whole number"),
    cell("an event to the twentieth digit", "0.99999999999999999999", "'0.99999999999999999999', not a whole"),
    cell("half an event", "0.5", "'0.5', not a whole number"),
    cell("too large for a computer", "1e999", "'1e999', not a number from 0 to 1"),
    cell("an exponent too large to count", "1e99999999999999999999", "'1e99999999999999999999'"),
    cell("infinity", "inf", "'inf'", "followup_years"),
    cell("an underscore", "1_0", "'1_0'", "followup_years"),
    cell("hexadecimal", "0x1", "'0x1'"),
    cell("a decimal comma", "1,5", "'1,5', with a comma where numbers have a point", "followup_years"),
    cell("full-width digits", "\uff11", "'\uff11'"),
    cell("a word for yes", "TRUE", "'TRUE'"),
    cell("more than one number", "1 2", "'1 2'", "followup_years"),
    cell("a sign of more", ">90", "'>90'", "age"),
    cell("a spreadsheet's date", "01. Mrz", "'01. Mrz'", "followup_years"),
    cell("nearer to 0 than numbers come", "1e-999", "'1e-999', nearer to 0", "followup_years"),
    cell("a word in full", "female", "'female'; M or F", "sex"),
    cell("spaces around", "  1 ", value=1),
    cell("a no-break space behind", "1\u00a0", value=1),
    cell("a sign in front", "+1", value=1),
    cell("a spreadsheet's whole number", "1.0", value=1),
    cell("scientific", "2.5e0", column="followup_years", value=2.5),
    cell("a quoted number", '"1"', value=1),
    TableCase(
        "a cell too many",
        HEAD + "001\t01\t0\ta.nii\tsite A\n",
        refused=("scans.tsv row 2: 'site A' is a cell too many",),
    ),
    TableCase("a cell too few", HEAD + "001\t01\ta.nii\n", refused=("scans.tsv row 2: has 3 cells for 4 columns",)),
    TableCase("a tab behind the header", HEAD[:-1] + "\t\n001\t01\t0\ta.nii\t\n", read=("scans", "subject", "001")),
    TableCase("tabs behind a row", HEAD + "001\t01\t0\ta.nii\t\t\t\n", read=("scans", "session", "01")),
    TableCase(
        "a value under a nameless column",
        HEAD[:-1] + "\t\n001\t01\t0\ta.nii\tx\n",
        refused=("scans.tsv row 2: 'x' is a cell too many",),
    ),
    TableCase(
        "blank lines",
        HEAD + "001\t01\t0\ta.nii\n\n\n001\t02\tx\ta.nii\n",
        refused=("row 5, patient 001: years is 'x'", "row 5, patient 001: path and series"),
    ),
    TableCase(
        "blank rows of a spreadsheet", HEAD + "\t\t\t\n001\t01\t0\ta.nii\n\t\t\t\n", read=("scans", "subject", "001")
    ),
    TableCase(
        "a line break in quotation marks",
        HEAD[:-1] + '\tkernel\n001\t01\t0\ta.nii\t"soft\nB30"\n002\t01\tx\tb.nii\t\n',
        refused=("scans.tsv row 4, patient 002: years is 'x'",),
    ),
    TableCase("a comment", HEAD + "# not yet\n001\t01\t0\ta.nii\n", refused=("scans.tsv row 2: begins with #",)),
    TableCase("a header that is a comment", "#" + ONE, refused=("scans.tsv row 1: begins with #",)),
    TableCase("quoted names keep their zeros", HEAD + '"001"\t"01"\t0\t"a.nii"\n', read=("scans", "subject", "001")),
    TableCase(
        "a lone quotation mark",
        HEAD + '001\t01\t0\t"a.nii\n002\t01\t0\tb.nii\n',
        refused=("scans.tsv row 2: a quotation mark begins a cell and is not closed",),
    ),
    TableCase(
        "two lone quotation marks",
        HEAD[:-1] + '\tkernel\n001\t01\t0\ta.nii\t"soft\n002\t01\t0\tb.nii\tsharp"\n',
        refused=("scans.tsv row 2: a quotation mark is closed in row 3 only",),
    ),
    TableCase(
        "Latin-1",
        (HEAD[:-1] + "\tsite\n001\t01\t0\ta.nii\tK\u00f6ln\n").encode("latin-1"),
        refused=("scans.tsv row 2: is not UTF-8 text",),
    ),
    TableCase("UTF-16 of a spreadsheet", ONE.encode("utf-16"), read=("scans", "subject", "001")),
    TableCase("UTF-16 without its mark", ONE.encode("utf-16-le"), refused=("scans.tsv row 1: holds a NUL byte",)),
    TableCase("a byte order mark", ONE.encode("utf-8-sig"), read=("scans", "subject", "001")),
    TableCase("lines that end as on old Macs", ONE.replace("\n", "\r"), read=("scans", "subject", "001")),
    TableCase("lines that end as on Windows", ONE.replace("\n", "\r\n"), read=("scans", "path", "a.nii")),
    TableCase(
        "an error in such lines", (VISITS + "x\n").replace("\n", "\r"), refused=("scans.tsv row 4: has 1 cells",)
    ),
    TableCase("a NUL byte", HEAD + "001\t01\t0\ta\0.nii\n", refused=("scans.tsv row 2: holds a NUL byte",)),
    TableCase(
        "a spreadsheet under another ending", b"PK\x03\x04" + bytes(30), refused=("scans.tsv is a spreadsheet or zip",)
    ),
    TableCase("an empty file", "", refused=("scans.tsv is empty",)),
    TableCase("an empty table of participants", ONE, "", refused=("participants.tsv is empty",)),
    TableCase(
        "a column twice",
        "subject\tsession\tyears\tyears\tpath\n001\t01\t0\t1\ta.nii\n",
        refused=("scans.tsv: column 'years' is there twice",),
    ),
    TableCase(
        "capitals and spaces in the header",
        " Subject\tSESSION\tyears \tPath\n001\t01\t0\ta.nii\n",
        read=("scans", "subject", "001"),
    ),
    TableCase(
        "a space for an underscore",
        ONE,
        PEOPLE.replace("_", " ") + "001\t4\t1\n",
        read=("participants", "followup_years", 4.0),
    ),
    TableCase(
        "a misspelt column",
        ONE,
        "subject\tfolowup_years\n001\t4\n",
        refused=("unknown column 'folowup_years', did you mean 'followup_years'?",),
    ),
    TableCase("commas", ONE.replace("\t", ","), refused=("scans.tsv has commas between its cells; save it with tabs",)),
    TableCase(
        "commas, and every cell in quotation marks",
        '"' + ONE.rstrip().replace("\t", '","').replace("\n", '"\n"') + '"\n',
        refused=("scans.tsv has commas between its cells",),
    ),
    TableCase("two byte order marks", b"\xef\xbb\xbf" + ONE.encode("utf-8-sig"), read=("scans", "subject", "001")),
    TableCase(
        "a formula that failed, among words",
        HEAD[:-1] + "\tsite\n001\t01\t0\ta.nii\t#REF!\n",
        refused=("site is '#REF!', which a spreadsheet writes where it could not compute",),
    ),
    TableCase(
        "a formula that failed, where it would leave out a scan",
        HEAD[:-1] + "\texclude\n001\t01\t0\ta.nii\t#VALUE!\n",
        refused=("exclude is '#VALUE!', which a spreadsheet",),
    ),
    cell("a formula that divided by 0", "#DIV/0!", "'#DIV/0!', which a spreadsheet writes", "fvc_pct"),
    TableCase(
        "a scan kept, in German",
        HEAD[:-1] + "\texclude\n001\t01\t0\ta.nii\tFALSCH\n",
        refused=("exclude is 'FALSCH', which says to keep the scan",),
    ),
    TableCase(
        "a column that is like none",
        "subject\tvisit\tyears\tpath\n001\t01\t0\ta.nii\n",
        refused=("unknown column 'visit'; known are", "column 'session' is missing"),
    ),
    TableCase("semicolons", ONE.replace("\t", ";"), refused=("scans.tsv has semicolons between its cells",)),
    TableCase("spaces", ONE.replace("\t", "  "), refused=("scans.tsv has spaces between its cells",)),
    TableCase(
        "a scan kept in the column that leaves out",
        HEAD[:-1] + "\texclude\n001\t01\t0\ta.nii\tno\n",
        refused=("exclude is 'no', which says to keep the scan",),
    ),
    TableCase(
        "0 in the column that leaves out",
        HEAD[:-1] + "\texclude\n001\t01\t0\ta.nii\t0\n",
        refused=("exclude is '0', which says to keep",),
    ),
    TableCase(
        "a dash in the column that leaves out",
        HEAD[:-1] + "\texclude\n001\t01\t0\ta.nii\t-\n",
        read=("scans", "subject", "001"),
    ),
    TableCase(
        "an escape sequence", HEAD[:-1] + "\tsite\n001\t01\t0\ta.nii\tx\x1b[2J\n", refused=("site is 'x\\x1b[2J'",)
    ),
]


def not_known(column: str, written: str) -> TableCase:
    """Read as no value, and said."""
    return TableCase(
        f"{written} in {column}",
        ONE,
        people(f"001\t{written}", columns=column),
        noticed=(f"participants.tsv: {written!r} in column {column} is read as not known (1 row)",),
        read=("participants", column, None),
    )


UNKNOWN = [
    not_known("sex", "unknown"),
    not_known("sex", "U"),
    not_known("smoking", "?"),
    not_known("smoking", "Unknown"),
    not_known("age", "NaN"),
    not_known("age", "."),
    not_known("fvc_pct", "-"),
    not_known("dlco_pct", "NULL"),
    not_known("event", "unk"),
    not_known("followup_years", "#N/A"),
    not_known("split", "none"),
    not_known("site", "unknown"),
    not_known("site", "-99"),
    not_known("site", "999"),
    not_known("site", "not available"),
    not_known("site", "unbekannt"),
    not_known("sex", "Not reported"),
    TableCase(
        "-99 for a kernel",
        HEAD[:-1] + "\tkernel\n001\t01\t0\ta.nii\t-99\n",
        noticed=("scans.tsv: '-99' in column kernel is read as not known",),
        read=("scans", "kernel", None),
    ),
    cell("a site with a number", "12", column="site", value="12"),
    cell("0.0 for an age", "0.0", "'0.0', not a number from 0.01 to 120", "age"),
    cell("litres for per cent", "2.4", "'2.4', not a number from 10 to 250", "fvc_pct"),
    cell("99 for an age", "99", "'99', which often stands for not known", "age"),
    cell("0 for an age", "0", "'0', which often stands for not known", "age"),
    cell("an age that is meant", "99.0", column="age", value=99.0),
    cell("999 for an age", "999", "'999', not a number from 0.01 to 120", "age"),
    cell("-1 for an age", "-1", "'-1', not a number from 0.01 to 120", "age"),
    cell("-9 for a lung function", "-9", "'-9', not a number from 10 to 250", "fvc_pct"),
    cell("0 for a lung function", "0", "'0', not a number from 1 to 250", "dlco_pct"),
    cell("9999 for a lung function", "9999", "'9999', not a number", "dlco_pct"),
    cell("9 for an event", "9", "'9', not a number from 0 to 1"),
    cell("a site with the name of a set", "test", "'test', which is the name of a set", "site"),
    TableCase(
        "nobody's scans", HEAD + "unknown\t01\t0\ta.nii\n", refused=("subject is 'unknown', which stands for nobody",)
    ),
    TableCase(
        "anonymous scans",
        HEAD + "ANONYMOUS\t01\t0\ta.nii\n",
        refused=("subject is 'ANONYMOUS', which stands for nobody",),
    ),
    TableCase(
        "a program's nothing for a name",
        HEAD + "nan\t01\t0\ta.nii\n",
        refused=("subject is 'nan', which stands for nothing",),
    ),
    TableCase(
        "an event without follow-up",
        ONE,
        people("001\t\t1"),
        noticed=("event without followup_years, which is no outcome: 001",),
    ),
    TableCase(
        "months for years", ONE, people("001\t43\t1"), noticed=("followup_years above 20; are these years? 001",)
    ),
    TableCase(
        "follow-up without an event",
        ONE,
        people("001\t4\t"),
        noticed=("followup_years without event, which is no outcome: 001",),
    ),
]


IDENTITY_HEAD = "subject\tsession\tyears\tpath\tmask\n"
MASKED = IDENTITY_HEAD + "001\t01\t0\ta.nii\t{}\n002\t01\t0\tb.nii\t{}\n"
OTHER_MASK, A_SCAN, OWN = (
    "mask leads to that of row 2, another patient's",
    "mask leads to the scan of row",
    "results/, where",
)
SOURCES = [
    TableCase("a mask of two patients", MASKED.format("m.nii", "./m.nii"), refused=(OTHER_MASK,)),
    TableCase("a mask that is its scan", MASKED.format("a.nii", ""), refused=(A_SCAN,)),
    TableCase("a mask that is another scan", MASKED.format("", "config/../a.nii"), refused=(A_SCAN,)),
    TableCase(
        "a mask of two series of a patient",
        MASKED.format("m.nii", "m.nii").replace("002\t01", "001\t02"),
        read=("scans", "mask", "m.nii"),
    ),
    TableCase("spaces around a path", ONE.replace("a.nii", " a.nii  "), read=("scans", "path", "a.nii")),
    TableCase(
        "spaces around a name that has them",
        ONE.replace("a.nii", "Thorax 1.0 "),
        files={"Thorax 1.0 /1.dcm": ""},
        read=("scans", "path", "Thorax 1.0 "),
    ),
    TableCase("the working folder for a scan", ONE.replace("a.nii", "."), refused=("path is the working folder, or",)),
    TableCase(
        "a folder around the working folder", ONE.replace("a.nii", "config/../.."), refused=("path is the working",)
    ),
    TableCase(
        "a scan among the results", ONE.replace("a.nii", "results/c.nii"), files={"results/c.nii": ""}, refused=(OWN,)
    ),
    TableCase(
        "a mask among the results", MASKED.format("./results/m.nii", ""), files={"results/m.nii": ""}, refused=(OWN,)
    ),
]


def visits(subject: str, sessions: list[str]) -> str:
    return HEAD + "".join(f"{subject}\t{session}\t{place}\t{session}.nii\n" for place, session in enumerate(sessions))


def numbered(count: int, width: int) -> list[str]:
    return [f"{number + 1:0{width}d}" for number in range(count)]


TOO_LONG = "make file names of"
LENGTHS = [
    TableCase("64 characters for patient and visits", visits("a" * 64, numbered(2, 64)), refused=(TOO_LONG,)),
    TableCase(
        "22 visits of eight characters", visits("PAT00001", numbered(22, 8)), refused=("22 sessions make file names",)
    ),
    TableCase("visits named by date and time", visits("P1", numbered(10, 20)), refused=(TOO_LONG,)),
    TableCase("one visit with an endless name", visits("P1", ["v" * 100]), refused=(TOO_LONG,)),
    TableCase("60 visits of three characters", visits("001", numbered(60, 3)), refused=(TOO_LONG,)),
    TableCase("UIDs for visits", visits("001", numbered(4, 40)), refused=(TOO_LONG,)),
    TableCase("a patient with 65 characters", visits("a" * 65, ["01"]), refused=("longer than 64 characters",)),
    TableCase(
        "two patients with long names",
        visits("a" * 60, numbered(2, 60)) + visits("b" * 60, numbered(2, 59))[len(HEAD) :].replace(".nii", "x.nii"),
        refused=("patient " + "a" * 60, "patient " + "b" * 60),
    ),
    TableCase("64 characters for a patient", visits("a" * 64, numbered(3, 2)), read=("scans", "session", "01")),
    TableCase("22 visits", visits("PAT00001", numbered(22, 2)), read=("scans", "session", "01")),
]


@dataclass(frozen=True)
class LevelCase:
    """A column of training and held-out patients; `left_out`: places of held-out patients without a number, `said`:
    part of a sentence on the column, "" for none."""

    words: str
    name: str
    training: list[object]
    held_out: list[object]
    left_out: tuple[int, ...] = ()
    said: str = ""


LEVELS = [
    LevelCase(
        "a habit of held-out patients alone",
        "smoking",
        ["never", "ex"] * 5,
        ["current", "current", "never"],
        (0, 1),
        "smoking is current in 2 of 3 other patients and in no training patient; models with smoking leave",
    ),
    LevelCase("a sex of held-out patients alone", "sex", ["M", "M", "F"], ["X", "F"], (0,), "sex is X in 1 of 2"),
    LevelCase(
        "two habits of held-out patients alone",
        "smoking",
        ["never", "ex"],
        ["pipe", "current"],
        (0, 1),
        "smoking is current or pipe in 2 of 2",
    ),
    LevelCase("a word among numbers", "age", [60, 70], ["old", 65], (0,), "age is old in 1 of 2"),
    LevelCase("capitals", "smoking", ["never", "ex"], ["Never", "ex"], (0,), "smoking is Never in 1 of 2"),
    LevelCase(
        "one habit in training",
        "smoking",
        ["ex", "ex", None],
        ["current", "ex"],
        (),
        "smoking is ex in every training patient of whom it is known and is left out",
    ),
    LevelCase(
        "a missing habit",
        "smoking",
        ["never", "ex", "ex"],
        [None, "ex"],
        (),
        "smoking is missing in 0 of 3 training and 1",
    ),
    LevelCase(
        "a missing habit beside one of its own",
        "smoking",
        ["never", "ex", "ex"],
        [None, "current"],
        (1,),
        "smoking is current in 1 of 2 other patients",
    ),
    LevelCase(
        "a column that training lacks",
        "smoking",
        [None, None],
        ["current", "ex"],
        (),
        "smoking is not known of any training patient",
    ),
    LevelCase("nothing unknown", "smoking", ["never", "ex", "current"], ["ex", "current"]),
]

DIED, SEEN = "died on the day the clock starts or before", "last seen on the day the clock starts or before"
FIRST_DAYS = [  # follow-up, event, start of the clock, and why the patient is not followed; "" for one who is
    (0, 1, 0.0, DIED),
    (0, 0, 0.0, SEEN),
    (1.5, 1, 1.5, DIED),
    (1.5, 0, 1.5, SEEN),
    (0.5, 1, 1.5, DIED),
    (0, None, 0.0, "no outcome"),
    (None, 1, 0.0, "no outcome"),
    (0.003, 1, 0.0, ""),
]

KINDS = {
    "identity of sources": SOURCES,
    "rows and files that join nothing": [*JOINS, *STRAY_TABLES, *STRAY_SETTINGS],
    "a derived value has its twin's limits": TIMES,
    "checked one by one, multiplied later": LENGTHS,
    "coercion instead of a check": CELLS,
    "unknown is not known": [*UNKNOWN, *LEVELS, *FIRST_DAYS],
}
