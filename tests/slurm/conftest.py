from pathlib import Path

import pytest

from cluster import Cluster, missing


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
