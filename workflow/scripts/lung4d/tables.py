"""Tables as parquet with a TSV twin: one for programs, one for people."""

from pathlib import Path

import pandas as pd

from lung4d.files import atomic

TEXT_COLUMNS = ("subject", "session", "baseline", "given", "split", "set", "site", "stage", "reason")


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write `frame` to `path` (.tsv) and to its twin with the suffix .parquet; the index is not written."""
    path = Path(path)
    with atomic(path.with_suffix(".parquet")) as temporary:
        frame.to_parquet(temporary, index=False)
    with atomic(path) as temporary:
        frame.to_csv(temporary, sep="\t", index=False, float_format="%.6g", na_rep="n/a")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table written by `write_table`, from either twin; identifiers stay text ("01" stays "01")."""
    path = Path(path)
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t", dtype=dict.fromkeys(TEXT_COLUMNS, str), na_values=["n/a"], keep_default_na=False)
