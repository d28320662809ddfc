"""`make equivalents BASE=<commit> [SAME=...]`: enter in workflow/code_equivalents.tsv that today's code makes what that
of BASE made.

SAME is a file, or text, with lines "stage[, stage]: why no number can change".
"""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from tools.equivalents.checkout import Checkout, full_name, worktree
from tools.equivalents.code import Code
from tools.equivalents.results import differences, stages_in
from tools.equivalents.runs import fast_tests, state_of, tiny_run
from tools.equivalents.stages import Comparison
from tools.equivalents.table import BY_ITSELF, Row, read_rows, reasons, with_rows, write_rows

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "workflow" / "code_equivalents.tsv"
KEPT = ROOT / ".pytest_cache" / "equivalents"


def main() -> None:
    arguments = _arguments()
    commit = full_name(ROOT, arguments.base)
    with worktree(ROOT, commit) as folder:
        base, head = Checkout.at(folder), Checkout.at(ROOT)
        why = reasons(arguments.same, set(head.stages))
        rows = list(_rows(base, head, why))
        if rows and not arguments.code_only:
            made = _equal_runs(base, head, commit, arguments.cores)
            for row in [row for row in rows if row.stage not in made]:
                print(f"{row.stage}: left nothing that is compared, and goes without a row")
                rows.remove(row)
    if arguments.code_only:
        return
    now = {(name, stage.raw) for name, stage in head.stages.items()}
    write_rows(with_rows(read_rows(TABLE), rows, now), TABLE)
    print(f"{len(rows)} rows of today's code in {TABLE.relative_to(ROOT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make equivalents", description=__doc__)
    parser.add_argument("--base", required=True, help="the commit whose results are to stay")
    parser.add_argument("--same", default="", help="stages whose changed statements change no number, and why")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--code-only", action="store_true", help="compare the code, run and write nothing")
    return parser.parse_args()


def _rows(base: Checkout, head: Checkout, why: dict[str, str]) -> Iterable[Row]:
    """A row for every stage whose digest is new, if its code is the same or the command says why no number changes."""
    comparison = Comparison(Code(base.scripts), Code(head.scripts))
    for stage in sorted(head.stages.keys() & base.stages.keys()):
        old, new = base.stages[stage], head.stages[stage]
        if new.raw == old.recorded:
            continue
        changes = comparison.changes(stage, base.files(stage, new.left_out), head.files(stage))
        print(f"{stage}: {'changed' if changes else 'the same'}", *changes, sep="\n    ")
        if not changes:
            yield Row(stage, new.raw, old.recorded, BY_ITSELF)
        elif stage in why:
            print(f"    goes in all the same: {why[stage]}")
            yield Row(stage, new.raw, old.recorded, why[stage])
        else:
            print("    goes without a row and will be made again; SAME may say why no number changes")


def _equal_runs(base: Checkout, head: Checkout, commit: str, cores: int) -> set[str]:
    """Stages that ran in the tiny run of both. Raises SystemExit where results differ, or a fast test fails."""
    settings = base.folder / "tests" / "tiny.yaml"
    base.set_version(head.version)
    folders = KEPT / f"{commit[:16]}-{head.version}", KEPT / state_of(ROOT)
    print("the tiny run of BASE, then of today's code, then the fast tests: many minutes", flush=True)
    results = [tiny_run(c.folder, settings, f, cores) for c, f in zip((base, head), folders, strict=True)]
    if found := differences(*results):
        raise SystemExit("\n    ".join(["the tiny runs differ, and nothing is entered:", *found]))
    fast_tests(ROOT, folders[1], cores)
    return stages_in(results[0])


if __name__ == "__main__":
    main()
