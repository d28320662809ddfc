import os

# One thread a test process: the machine's cores are shared by several of them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import pytest

from running import ROOT, snakemake


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The whole workflow on a few built-in patients, run once for all tests of the session."""
    folder = tmp_path_factory.mktemp("tiny")
    snakemake("--cores", "2", "--configfile", str(ROOT / "tests/tiny.yaml"), folder=folder)
    return folder
