"""Write docs/bad-inputs.md from the cases that the tests try: `make docs`. A test keeps the file up to date."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADER = """\
# Inputs that are not as they should be

## Kinds of trouble

What goes wrong comes in kinds; each is mended wherever it can occur. Inputs: so many different ones the tests try.

| kind | what is done about it | inputs |
| --- | --- | ---: |
"""
SCANS = """
## Scans

What `convert` does with each; the tests try every row. A scan that is refused stops no other: its sentence stands in
the report and in `results/split/unusable.tsv`. Flags stand in the report too.

| input | what happens |
| --- | --- |
"""


def render() -> str:
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.kinds import CASES, KINDS

    kinds = "".join(f"| {kind.words} | {kind.done} | {kind.count} |\n" for kind in KINDS)
    return HEADER + kinds + SCANS + "".join(f"| {case.words} | {outcome(case)} |\n" for case in CASES)


def outcome(case) -> str:
    if case.refused:
        return f"refused: “{case.refused}”"
    return "; ".join([case.handled, *(f"“{flag}”" for flag in case.flags)])


if __name__ == "__main__":
    (ROOT / "docs/bad-inputs.md").write_text(render(), encoding="utf-8")
