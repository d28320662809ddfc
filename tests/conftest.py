import os
import shutil
from pathlib import Path

# One thread a test process: the machine's cores are shared by several of them.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# Compiled kernels are kept between runs of the tests, outside the source tree.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parent.parent / ".pytest_cache" / "numba"))
# The tests read what Snakemake itself says of a run.
os.environ.setdefault("LUNG4D_TERMINAL", "snakemake")

import pytest
from filelock import FileLock

from helpers.running import ROOT, snakemake

# Files that begin before the others, the longest first, so that at the end no core waits for one of them.
LONGEST = (
    "test_workflow",
    "test_cluster_faults",
    "test_whole_workflow",
    "test_train_vqgan",
    "test_cluster_masters",
    "test_rerun",
    "test_faults_workflow",
    "test_isolation",
    "test_real_data",
    "test_shards",
    "test_degenerate_cohorts",
    "test_table3",
    "test_train_ode",
    "test_report",
    "test_survival",
    "test_pair_check",
    "test_lungs",
)
LAST = "test_customs"  # needs the run of the whole workflow, with which the first begins: it would wait for it


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)} | {LAST: len(LONGEST) + 1}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, request):
    """The whole workflow on a few built-in patients, run once for all tests, in whichever process they are.

    This is a copy of a folder in pytest's cache, in which Snakemake makes again what a change of the code asks for;
    `pytest --cache-clear` makes all of it anew.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    kept = request.config.cache.mkdir("tiny")
    with FileLock(kept.with_suffix(".lock")):
        if not (shared / "tiny").exists():
            # --nolock: a test run that was killed leaves Snakemake's own lock behind
            options = ("--cores", "2", "--nolock", "--configfile", str(ROOT / "tests/tiny.yaml"))
            # alone, or two registrations would compile the same kernels for a minute
            snakemake(*options, "--", "results/register/sub-001/sub-001_ses-02_status.json", folder=kept)
            snakemake(*options, folder=kept)
            shutil.copytree(kept, shared / "tiny", symlinks=True)
    return shared / "tiny"
