from pathlib import Path

import pytest
from filelock import FileLock

from cluster import Cluster, missing
from trainings import Training


def pytest_collection_modifyitems(items):
    """All tests of this folder are slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running SLURM cluster, of its own in each process that runs tests."""
    if reason := missing():
        pytest.skip(f"no SLURM cluster: {reason}")
    with Cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="session")
def new(cluster, tiny_run, tmp_path_factory):
    """Make a training of its own."""

    def make(**rules):
        folder = tmp_path_factory.mktemp("fault") / "run"
        return Training(cluster, tiny_run, folder, {"train_vqgan": rules} if rules else None)

    return make


@pytest.fixture(scope="session")
def undisturbed(new, tiny_run):
    """Weights of a training that nothing happened to; one for the tests on both clusters."""
    kept = tiny_run.with_name("undisturbed")
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            training = new()
            training.run()
            assert [job["state"] for job in training.jobs()] == ["COMPLETED"]
            kept.write_bytes(training.weights())
    return kept.read_bytes()
