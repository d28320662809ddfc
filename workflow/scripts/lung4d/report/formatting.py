"""Numbers as a reader expects them: few digits, a true minus sign, intervals beside every estimate."""

import math
from typing import Any

MISSING = "–"


def missing(value: Any) -> bool:
    """True for None and NaN, whatever type they come in."""
    return value is None or (not isinstance(value, str) and value != value)


def fixed(value: Any, decimals: int = 2, sign: bool = False) -> str:
    """A number with so many decimals: `fixed(-0.5, 1)` is "−0.5"; a dash for a missing one."""
    if missing(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{float(value):{'+' if sign else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def whole(value: Any) -> str:
    return MISSING if missing(value) else f"{int(value):,}".replace(",", " ")


def interval(value: Any, low: Any, high: Any, decimals: int = 2, sign: bool = False) -> str:
    """An estimate with its interval, "0.62 [0.48 to 0.75]"; says so where there is no interval."""
    if missing(value):
        return MISSING
    if missing(low) or missing(high):
        return f"{fixed(value, decimals, sign)} [no interval]"
    return f"{fixed(value, decimals, sign)} [{fixed(low, decimals, sign)} to {fixed(high, decimals, sign)}]"


def p_value(value: Any) -> str:
    if missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else fixed(value, 3)


def count(number: Any, noun: str, plural: str = "") -> str:
    """A number with its noun: "1 patient", "3 patients"."""
    return f"{whole(number)} {noun if int(number) == 1 else plural or noun + 's'}"


def listing(items: list[str]) -> str:
    """Words with commas and an "and": "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
