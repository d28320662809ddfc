"""Breath, pose and contrast medium of a series, by its header and by the words of its names.

Words of English, German, French, Italian, Spanish, Dutch and Portuguese, as people type them at a scanner: cut short,
without accents, joined by underscores, digits and capitals. Names that say two things, such as "insp/exsp", say
nothing. "esp" alone is left out: in Portuguese it is a slice thickness.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import pydicom

EXPIRATION, INSPIRATION = "expiration", "inspiration"
SUPINE, PRONE, ON_SIDE = "supine", "prone", "on the side"
NAMES = ("SeriesDescription", "ProtocolName")  # the first that says something counts
POSITIONS = {"HFS": SUPINE, "FFS": SUPINE, "HFP": PRONE, "FFP": PRONE}
POSITIONS |= dict.fromkeys(("HFDL", "HFDR", "FFDL", "FFDR"), ON_SIDE)

# All patterns but those of signs are looked for in `spelled` words.
BREATHS = {
    EXPIRATION: re.compile(
        r"\b(?:exp|expi|exsp|exspi|exh|frc|exs?pir(?!y\b)\w*(?! dat)|espir|espira|espira[cdntz]\w*|espirio|espiro|"
        r"exhal\w*|exalac\w*|esalaz\w*|ausat(?:em|m)\w*|ausgeatm\w*|uitadem\w*|uitgeadem\w*|"
        r"breath(?:ed?|ing)? out|residual volume)\b"
    ),
    INSPIRATION: re.compile(
        r"\b(?:insp|inspi|inspir\w*|inh|tlc|inhal\w*|inalac\w*|inalaz\w*|einat(?:em|m)\w*|eingeatm\w*|"
        r"inadem\w*|ingeadem\w*|(?:deep|full) breath|breathed? in)\b"
        r"|\b(?:in|ein) (?:and|und|en|et|e|y) (?=e[xs]|aus|uit)"  # "in- und exspiration"
    ),
}
POSES = {
    SUPINE: re.compile(
        r"\b(?:supin\w*|rue?ckenl\w*|ruglig\w*|decubit\w* dorsal\w*|dorsal\w* decubit\w*|"
        r"auf (?:dem )?rue?cken|sur le dos|op (?:de )?rug|boca arriba|(?:faccia|pancia) in su|face up)\b"
    ),
    PRONE: re.compile(
        r"\b(?:pron|proned?|pron[ao]s?|prona[cz]\w*|pronat(?!ion)\w+|procubitus|bauchl\w*|buiklig\w*|"
        r"decubit\w* ventral\w*|ventral\w* decubit\w*|brucos|auf (?:dem )?bauch|(?:sur le|plat) ventre|"
        r"op (?:de )?buik|boca abajo|(?:faccia|pancia) in giu|face down)\b"
    ),
    ON_SIDE: re.compile(r"\b(?:seitenl\w*|zijlig\w*|decubit\w* lateral\w*|lateral\w* decubit\w*)\b"),
}
_WITH = "w|with|mit|avec|con|com|met"
_WITHOUT = "wo|w o|without|ohne|sans|senza|sin|sem|zonder"
_AND = "and|und|et|e|y|en|or|oder|ou|o|of"
_MEDIUM = r"kontrast\w*|contrast\w*|km|mdc|m d c|pdc|inje[ck]\w*|iniezion\w*|inyeccion\w*"
_OF = "(?:(?:de|d|del|della|di|do|la|el|il|l|of|von|van|i v|iv|mezzo|medio|meio|produit) )*"
BOTH = re.compile(rf"\b(?:{_WITH}) (?:(?:{_AND}) )?(?:{_WITHOUT})\b|\b(?:{_WITHOUT}) (?:{_AND}) (?:{_WITH})\b")
NO_MEDIUM = re.compile(
    rf"\b(?:{_WITHOUT}|s|kein\w*|geen|no|non|not|pre|before|vor|avant|prima|antes) "
    rf"{_OF}(?:{_MEDIUM}|iv|i v)(?: {_OF}(?:{_MEDIUM}))*\b|\bo (?:(?:i v|iv) )?(?:km|kontrast\w*)\b"
    r"|\b(?:nativ\w{0,2}|blanco|unenhanced|non ?enhanced|(?:non|pre)[ck]ontrast\w*|kontrastlos\w*|ncct|nect)\b"
)
MEDIUM = re.compile(
    rf"\b(?:{_MEDIUM}|post[ck]ontrast\w*|angio\w*|cta|ctpa|cect|ce ct|"
    rf"(?:{_WITH}|post|nach|apres|dopo|despues|na) iv|"
    r"(?:arteri\w*|ven(?:ou|oe?)s\w*|veneu\w*|veine\w*|portal\w*) (?:phase|fase)|"
    r"(?:phase|fase) (?:arteri\w*|ven[oe]\w*|portal\w*)|portal ?ven\w*|porto ?ven\w*)\b"
)
# Of contrast that the picture has, not the patient.
OF_THE_PICTURE = re.compile(
    r"\b(?:high|hi|low|hoh\w*|niedrig\w*|gering\w*|haut|faible|alto|basso|elevato|bajo|baixo|hoog|laag|hoge|lage|"
    r"tissue|window|image) [ck]ontrast\w*|\b[ck]ontrast\w* (?:resolution|detail|phantom|window|to noise|noise|ratio|"
    r"elevato|alto|basso|bajo|baixo)\b|\bnoise [ck]ontrast\b|\bkontrast(?:auflo|reich|arm|ver)\w*"
)
NO_AGENT = re.compile("none|no|non|nein|keine?|geen|nil|nihil|ohne|sans|sin|sem|senza|nessuno|nada|nenhum|ninguno|n a")
# With signs, in small letters without accents: "C+", "+KM", "i.v.", "c/c" (con contraste), and their opposites.
SIGN_OF_MEDIUM = re.compile(
    r"(?<![a-z0-9])(?:(?:c|iv|km)\+|c/c)(?![a-z0-9])|(?<![a-z0-9+])\+\s?(?:c|km|iv)(?![a-z0-9])"
    r"|(?<![a-z])i\.\s?v(?![a-z])"
)
SIGN_OF_NONE = re.compile(r"(?<![a-z0-9])(?:(?:c|iv|km)-|s/c)(?![a-z0-9])")


def acquisition_facts(header: pydicom.Dataset | Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`breath` ("expiration", "inspiration" or None), `pose` ("supine", "prone", "on the side" or None) and `contrast`
    (None where the header contradicts itself) of a series, and flags of what is unusual or contradicts. `header` may
    also be a mapping with DICOM's keywords, as a sidecar has them.

    Absent is taken as usual: a scan without a word on its breath as inspired, without a named agent as without one.
    """
    names = [str(header.get(tag) or "") for tag in NAMES]
    pose, flags = _pose(header.get("PatientPosition"), _first(pose_of, names))
    contrast, contradicted = _contrast(header.get("ContrastBolusAgent"), _first(contrast_of, names))
    breath = _first(breath_of, names)
    if breath == EXPIRATION:
        flags.append("By its name the series is an expiration: compare it with expirations only.")
    return {"breath": breath, "pose": pose, "contrast": contrast}, flags + contradicted


def breath_of(name: str) -> str | None:
    """EXPIRATION or INSPIRATION where the words of `name` say one of the two."""
    return _only(BREATHS, re.sub(r"(?i)(?<![^\W\d_])(in|ein)-?\s?[/+&]\s?(?=e[xs]|aus|uit)", r"\1 und ", name))


def pose_of(name: str) -> str | None:
    """SUPINE, PRONE or ON_SIDE where the words of `name` say one of them."""
    return _only(POSES, name)


def contrast_of(name: str) -> bool | None:
    """Whether the words of `name` say that contrast medium was given; None where they say neither, or both."""
    words, signs = OF_THE_PICTURE.sub(" ", spelled(name)), _plain(name).lower()
    if BOTH.search(words):
        return None
    without = bool(NO_MEDIUM.search(words) or SIGN_OF_NONE.search(signs))
    given = bool(MEDIUM.search(NO_MEDIUM.sub(" ", words)) or (not without and SIGN_OF_MEDIUM.search(signs)))
    return None if given == without else given


def spelled(name: str) -> str:
    """The words of `name` in small letters without accents, with single spaces; a word ends at what is no letter, and
    where capitals begin or end: "LungExsp_1.0" is "lung exsp", "HRCTexp" is "hrct exp"."""
    parted = re.sub(r"(?<=[A-Z]{2})(?=exs?p|insp|exh|inh|pron|supin)", " ", _plain(name))
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", parted)
    return " ".join(re.findall(r"[a-z]+", parted.lower()))


def _plain(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))


def _only(patterns: dict[str, re.Pattern], name: str) -> str | None:
    words = spelled(name)
    said = [meaning for meaning, pattern in patterns.items() if pattern.search(words)]
    return said[0] if len(said) == 1 else None


def _first(read: Any, names: list[str]) -> Any:
    """What the first of the names that says something says."""
    return next((said for name in names if (said := read(name)) is not None), None)


def _pose(position: Any, named: str | None) -> tuple[str | None, list[str]]:
    """The unusual pose where header and name contradict each other, because it must not pass unseen."""
    told = POSITIONS.get(str(position or "").strip().upper())
    pose, flags = told or named, []
    if told and named and told != named:
        pose = named if told == SUPINE else told
        flags.append(f"The header says that the patient lies {told}, the name of the series says {named}.")
    if pose in (PRONE, ON_SIDE):
        flags.append(f"The patient lies {pose}: compare the scan with others of this pose only.")
    return pose, flags


def _contrast(agent: Any, named: bool | None) -> tuple[bool | None, list[str]]:
    told = _agent(agent)
    if told is None or named is None or told == named:
        return bool(told or named), []
    words = ("a contrast agent", "no contrast") if told else ("no contrast agent", "contrast")
    return None, [f"The header names {words[0]}, the name of the series says {words[1]}."]


def _agent(value: Any) -> bool | None:
    """Whether a ContrastBolusAgent is one; None where there is no value."""
    text = str(value if isinstance(value, str) else " ".join(map(str, value or []))).strip()
    if not text:
        return None
    words = spelled(text)
    named = not NO_AGENT.fullmatch(words) if words else bool(re.search("[1-9]", text))  # "370" is a concentration
    return named and contrast_of(text) is not False
