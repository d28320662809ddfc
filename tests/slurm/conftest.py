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


@pytest.fixture
def new(cluster, tiny_run, tmp_path_factory):
    """Make a training of its own, of which no job is left after the test."""
    made: list[Training] = []

    def make(**rules) -> Training:
        made.append(_training(cluster, tiny_run, tmp_path_factory, {"train_vqgan": rules} if rules else None))
        return made[-1]

    yield make
    for training in made:
        training.cancel()


@pytest.fixture(scope="session")
def undisturbed(cluster, tiny_run, tmp_path_factory):
    """Weights of a training that nothing happened to; one for the tests on both clusters."""
    kept = tiny_run.with_name("undisturbed")
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            training = _training(cluster, tiny_run, tmp_path_factory)
            training.run()
            assert [job["state"] for job in training.jobs()] == ["COMPLETED"]
            kept.write_bytes(training.weights())
    return kept.read_bytes()


def _training(cluster, finished, folders, rules=None) -> Training:
    return Training(cluster, finished, folders.mktemp("fault") / "run", rules)
