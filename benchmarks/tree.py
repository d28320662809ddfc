"""How long the target `tables` takes for a hospital's tree, what memory, and whether its rows are right.

    .venv/bin/python benchmarks/tree.py FOLDER > benchmarks/tree.md

Makes trees of 60 and of 300 patients in FOLDER, three studies each, of a localiser and two reconstructions of 110
slices: 40,000 and 200,000 files. One patient has married, one study is filed under another patient's number. Then runs
the command twice and compares: rows, what is said of the study in the wrong place, every byte of the second run, and
any name, number, birth or study date of the tree in config/ or results/. FOLDER may be deleted.
"""

import csv
import random
import resource
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow/scripts"), str(ROOT / "tests")]

from helpers.tree_files import state_of, uid_of, write_dicom
from machine import processor

SLICES = 110
STUDIES = 3
KERNELS = ("B70f", "B30f")
MARRIED, STRANGER, HOST = 7, 11, 23  # numbers of patients; a study of STRANGER lies under the number of HOST
WORDS = [
    "Adler",
    "Bach",
    "Conti",
    "Duval",
    "Ekberg",
    "Falk",
    "Garcia",
    "Hansen",
    "Ivanov",
    "Jansen",
    "Keller",
    "Lopez",
    "Moreau",
    "Novak",
    "Olsen",
]


def write_tree(tree: Path, patients: int) -> list[dict[str, str]]:
    """Write the tree, and return what each study's row must say, with the patient's number and the study's UID."""
    chance, expected = random.Random(1), []
    births = [date(1935, 1, 1) + timedelta(days=chance.randrange(9000)) for _ in range(patients)]
    for number, born in enumerate(births):
        first = date(2008, 1, 1) + timedelta(days=chance.randrange(2000))
        days = sorted(chance.sample(range(1, 3000), STUDIES - 1))
        for visit, day in enumerate([0, *days]):
            when = first + timedelta(days=day)
            person = person_of(number, born, married=number == MARRIED and visit > 0)
            if number == HOST and visit == 1:
                person = person_of(STRANGER, births[STRANGER], False) | {"PatientID": person["PatientID"]}
            study = uid_of("study", number, visit)
            tags = person | {"StudyDate": f"{when:%Y%m%d}", "StudyInstanceUID": study}
            folder = tree / f"{person_of(number, born, False)['PatientName']}" / f"{when:%Y-%m-%d}"
            write_study(folder, tags)
            years = f"{day / 365.25:.3f}".rstrip("0").rstrip(".") or "0"
            expected.append({"id": tags["PatientID"], "study": study, "years": years, "kernel": KERNELS[0]})
    return expected


def person_of(number: int, born: date, married: bool) -> dict[str, str]:
    family = f"{WORDS[(number + married) % len(WORDS)]}{number // len(WORDS)}x{number % len(WORDS)}"
    return {
        "PatientID": f"HOSP{4711000 + number}", "PatientName": f"{family}^{WORDS[number * 7 % len(WORDS)]}",
        "PatientBirthDate": f"{born:%Y%m%d}", "PatientSex": "MF"[number % 2],
    }  # fmt: skip


def write_study(folder: Path, tags: dict[str, str]) -> None:
    localiser = {"SeriesNumber": 1, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_dicom(folder / "SE1", tags | localiser, slices=2, name="IM{:04d}")
    for series, kernel in enumerate(KERNELS, start=2):
        more = {"SeriesNumber": series, "ConvolutionKernel": kernel}
        write_dicom(folder / f"SE{series}", tags | more, slices=SLICES, name="IM{:04d}")


def run(tree: Path, folder: Path) -> tuple[float, float, float, str]:
    """Seconds, seconds of processors, most memory of all processes together (MB), and what was said."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--directory",
        str(folder),
        "--config",
        f"tree={tree}",
        "--",
        "tables",
    ]
    begun, most, before = time.perf_counter(), 0, resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        while process.poll() is None:
            most = max(most, memory_of(process.pid))
            time.sleep(0.2)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(text)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, processors, most / 1e6, text


def memory_of(number: int) -> int:
    """Bytes of a process and all that it started; what they share counts once."""
    total = 0
    try:
        parent = psutil.Process(number)
        for process in [parent, *parent.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def right_rows(folder: Path, expected: list[dict[str, str]]) -> int:
    """Rows whose patient, years, kernel, path and number of links are those of the study."""
    subjects = {row["id"]: row["subject"] for row in rows_of(folder / "private/patients.tsv")}
    visits = {row["study"]: row for row in rows_of(folder / "private/visits.tsv")}
    scans = {(row["subject"], row["session"]): row for row in rows_of(folder / "config/scans.tsv")}
    right = 0
    for study in expected:
        visit = visits[study["study"]]
        row = scans[visit["subject"], visit["session"]]
        place = f"private/scans/sub-{row['subject']}/ses-{row['session']}"
        links = sum(link.exists() for link in (folder / place).iterdir())
        wanted = (subjects[study["id"]], study["years"], study["kernel"], place, 2 + SLICES * len(KERNELS))
        right += (row["subject"], row["years"], row["kernel"], row["path"], links) == wanted
    return right


def leaked(folder: Path, tree: Path) -> list[str]:
    """Names, numbers and dates of the tree in any file of config/ or results/."""
    texts = [
        path.read_text(errors="replace")
        for part in ("config", "results")
        for path in (folder / part).rglob("*")
        if path.is_file()
    ]
    text = "\n".join(texts)
    names = {word for place in tree.iterdir() for word in place.name.split("^")}
    days = {place.name for person in tree.iterdir() for place in person.iterdir()}
    planted = names | days | {day.replace("-", "") for day in days} | {"HOSP4711", "1.2.826"}
    return sorted(word for word in planted if word in text)


HEAD = """# A tree of a hospital's files

Made by `benchmarks/tree.py` on {processor}, {cores} cores. Seconds by the clock, of all processes in brackets; memory
is the most that Snakemake and all its processes hold at one time, what they share counted once.

| files | patients | studies | seconds | again | memory | rows right | the swapped study | second run | names found |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: |"""


def measured(folder: Path, patients: int) -> str:
    """A row of the table, of a tree that is made in `folder`."""
    tree, work = folder / "tree", folder / "work"
    work.mkdir(parents=True)
    expected = write_tree(tree, patients)
    files = sum(1 for path in tree.rglob("*") if path.is_file())
    seconds, processors, memory, _ = run(tree, work)
    parts = {part: state_of(work / part) for part in ("config", "private")}
    again, *_ = run(tree, work)
    same = parts == {part: state_of(work / part) for part in parts}
    odd = "; ".join(row["exclude"] for row in rows_of(work / "config/scans.tsv") if row["exclude"]) or "not found"
    cells = [
        f"{files:,}", patients, len(expected), f"{seconds:.1f} ({processors:.1f})", f"{again:.1f}", f"{memory:.0f} MB",
        f"{right_rows(work, expected)} of {len(expected)}", odd, "the same bytes" if same else "other bytes",
        len(leaked(work, tree)),
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    print(HEAD.format(processor=processor(), cores=psutil.cpu_count()), flush=True)
    for number in (60, 300):
        print(measured(Path(sys.argv[1]).resolve() / str(number), number), flush=True)
