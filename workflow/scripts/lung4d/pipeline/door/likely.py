"""Names that people take for one: `1` and `001`, `sub-P07` and `p7`, `1.0` of a spreadsheet and `1`."""

import re
import unicodedata
from collections.abc import Iterable

TAKEN_FOR_DIGITS = str.maketrans("oil", "011")


def normal_form(name: str) -> str:
    """What is left of a name without what spreadsheets and hands change: width, case, prefix, dashes, zeros, ".0", and
    the letters that are taken for digits beside these."""
    text = unicodedata.normalize("NFKC", name).strip().lstrip("'").casefold()
    text = re.sub(r"^(sub|ses)[-_ ]+", "", text)
    text = re.sub(r"^(subject|patient|pat|pt|id|case|session|visit)[-_ ]*(?=[0-9])", "", text)
    if found := re.fullmatch(r"([0-9]+)(?:[.,]([0-9]+))?(?:e\+?0*([0-9]{1,2}))?", text):
        whole, fraction, exponent = found[1], (found[2] or "").rstrip("0"), int(found[3] or 0)
        if len(fraction) <= exponent or not fraction:
            text = whole + fraction.ljust(exponent, "0")
    kept = "".join(character for character in text if character.isalnum())
    kept = re.sub(r"[oil]*[0-9][0-9oil]*", lambda found: found[0].translate(TAKEN_FOR_DIGITS), kept)
    return re.sub(r"[0-9]+", lambda digits: digits[0].lstrip("0") or "0", kept)


class LikelyNames:
    """Names to be held against others that ought to be among them; None and "" are none."""

    def __init__(self, names: Iterable[str | None]):
        self._by_form: dict[str, list[str]] = {}
        for name in sorted({name for name in names if name}):
            self._by_form.setdefault(normal_form(name), []).append(name)

    def like(self, name: str) -> list[str]:
        """The names that differ from this one by nothing that counts, itself left out."""
        return [found for found in self._by_form.get(normal_form(name), []) if found != name]

    def hint(self, name: str) -> str:
        """ "; 001 is probably meant", or "" where there is no such name."""
        found = self.like(name)
        return f"; {' or '.join(found)} is probably meant" if found else ""

    def alike(self) -> list[list[str]]:
        """Groups of names that may be one."""
        return [names for names in self._by_form.values() if len(names) > 1]


def some(names: Iterable[object], most: int = 5) -> str:
    """ "001, 002 and 3 more"."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
