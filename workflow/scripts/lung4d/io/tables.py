"""Tables as parquet with a TSV twin: one for programs, one for people."""

from pathlib import Path

import pandas as pd
from pyarrow import parquet

from lung4d.io.atomic import atomic, reading

TEXT_COLUMNS = ("subject", "session", "baseline", "given", "split", "set", "site", "stage", "reason")


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write `frame` to `path` (.tsv) and to its twin with the suffix .parquet; the index is not written."""
    path = Path(path)
    with atomic(path.with_suffix(".parquet")) as temporary:
        frame.to_parquet(temporary, index=False)
    with atomic(path) as temporary:
        frame.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep="n/a")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table written by `write_table`, from either twin; identifiers stay text ("01" stays "01").

    Raises DamagedFile where the file is cut short, which a TSV does not show by itself: its twin knows how many rows
    there are.
    """
    path = Path(path)
    with reading(path):
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        text = dict.fromkeys(TEXT_COLUMNS, str)
        frame = pd.read_csv(path, sep="\t", dtype=text, na_values=["n/a"], keep_default_na=False)
        _check_whole(path, len(frame))
    return frame


def _check_whole(path: Path, rows: int) -> None:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        if stream.read() != b"\n":
            raise ValueError("the last line is cut short")
    twin = path.with_suffix(".parquet")
    if twin.is_file():
        with reading(twin):
            promised = parquet.read_metadata(twin).num_rows
        if rows != promised:
            raise ValueError(f"it has {rows} rows and {twin.name} has {promised}")
