import os
from pathlib import Path

# One thread a test process: the machine's cores are shared by several of them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# Compiled kernels are kept between runs of the tests, outside the source tree.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "numba"))

import pytest
from filelock import FileLock

from running import ROOT, snakemake


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The whole workflow on a few built-in patients, run once for all tests, in whichever process they are."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with FileLock(shared / "tiny.lock"):
        snakemake("--cores", "2", "--configfile", str(ROOT / "tests/tiny.yaml"), folder=shared / "tiny")
    return shared / "tiny"
