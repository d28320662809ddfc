"""Who a scan's headers name: read to be compared, here and in the tables, and written into no result.

A person is what of PatientID, name, birth date and sex the headers tell, in one spelling; what is absent or stands for
"not known" is left out.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

DAYS_PER_YEAR = 365.25
# What anonymisers and consoles write where they know nothing.
NO_WORDS = (
    r"anon[^\W\d_]*|no ?name|no ?id|name|id|none|null|nil|n ?[an]|not ?known|not ?available|unknown|unbekannte?r?|"
    r"inconnue?|desconocid[oa]|desconhecid[oa]|sconosciut[oa]|onbekende?|undefined|unnamed|nobody|blank|empty|dummy|"
    r"patient|patiente|paziente|paciente|test|de ?identified|pseudonymi[sz]ed|removed|deleted|redacted|hidden|masked"
)
NOT_KNOWN = re.compile(rf"[0\W_]*|x+|9{{3,}}|(?:{NO_WORDS})(?: (?:{NO_WORDS}))*", re.IGNORECASE)
NO_BIRTH_DATES = {date(1, 1, 1), date(1800, 1, 1), date(1900, 1, 1), date(1901, 1, 1)}
AGE = re.compile(r"\s*(\d{1,3})\s*([DWMY])\s*", re.IGNORECASE)
OLDEST = 120  # years; 999Y stands for not known
A_YEAR = {"D": DAYS_PER_YEAR, "W": DAYS_PER_YEAR / 7, "M": 12.0, "Y": 1.0}


def person_of(header: Mapping[str, Any] | Any) -> dict[str, str]:
    """The person of a header (anything with `get` by keyword): some of id, name, birth, sex."""
    number = str(header.get("PatientID") or "").strip()
    name = spelled(str(header.get("PatientName") or ""))
    birth = day_of(header.get("PatientBirthDate"))
    sex = str(header.get("PatientSex") or "").strip().upper()[:1]
    person = {
        "id": "" if _is_unknown(number) else number,
        "name": "" if _is_unknown(name) else name,
        "birth": "" if birth is None or birth in NO_BIRTH_DATES else birth.isoformat(),
        "sex": sex if sex in ("M", "F") else "",
    }
    return {field: value for field, value in person.items() if value}


def spelled(name: str) -> str:
    """A name in one spelling: small letters without accents, its words in the order of the alphabet."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))
    return " ".join(sorted(re.findall(r"\w+", plain)))


def _is_unknown(text: str) -> bool:
    return NOT_KNOWN.fullmatch(re.sub(r"[\W_]+", " ", text).strip()) is not None


def contradiction(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """In what two persons contradict each other so far that they cannot be one, or "".

    A new name with the same id and birth date is a marriage, a new id with the same name is another hospital.
    """
    both = one.keys() & other.keys()
    differ = {field for field in both if one[field] != other[field]}
    for field, words in (("birth", "birth dates"), ("sex", "sexes")):
        if field in differ:
            return words
    if "name" in differ and not {"id", "birth"} <= both - differ:
        return "names"
    return "PatientIDs" if "id" in differ and "name" not in both else ""


def odd_ones(people: Sequence[Mapping[str, str]]) -> list[str]:
    """For each of the persons that the scans of one patient name, in what it contradicts most of the others, or ""."""
    known = [person for person in people if person]
    found = []
    for person in people:
        against = [words for other in known if (words := contradiction(person, other))]
        found.append(against[0] if person and 2 * len(against) > len(known) - 1 else "")
    return found


def day_of(text: Any) -> date | None:
    """The date in a header (20130405, 2013.04.05 or 2013-04-05), or None where there is none."""
    match = re.match(r"\s*(\d{4})([.-]?)(\d{2})\2(\d{2})(?!\d)", str(text or ""))
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def age_of(text: Any) -> float | None:
    """Years of a PatientAge such as 067Y or 018M, or None where there is none."""
    match = AGE.fullmatch(str(text or ""))
    age = int(match[1]) / A_YEAR[match[2].upper()] if match else 0.0
    return age if 0 < age <= OLDEST else None


def years_between(first: date, last: date) -> float:
    return (last - first).days / DAYS_PER_YEAR
