"""The profile of the tests asks a cluster for what the shipped one does, for a shorter time."""

import yaml

from slurm_profile import ADDED, shipped, write_profile

SHORTENED = {"runtime", "mem_mb", "slurm_extra"}


def written(*arguments, **options):
    return yaml.safe_load((write_profile(*arguments, **options) / "config.yaml").read_text())


def test_only_times_and_sizes_are_changed(tmp_path):
    ours, theirs = written(tmp_path), shipped()
    assert set(ours) == set(theirs) | set(ADDED)
    assert set(ours["set-resources"]) == set(theirs["set-resources"])
    for rule, resources in theirs["set-resources"].items():
        assert list(ours["set-resources"][rule]) == list(resources), rule
        for name, value in resources.items():
            assert name in SHORTENED or ours["set-resources"][rule][name] == value, (rule, name)
    assert list(ours["default-resources"]) == list(theirs["default-resources"])
    assert ours["set-threads"] == theirs["set-threads"]
    changed = {"set-resources", "default-resources", "set-threads", "latency-wait", "config"}
    assert set(ours["config"]) == set(theirs["config"])
    assert all(ours[key] == value for key, value in theirs.items() if key not in changed)


def test_times_and_sizes_are_those_of_the_test(tmp_path):
    profile = written(tmp_path, minutes=2, warning=20, rules={"train_ode": {"runtime": 1}})
    training = profile["set-resources"]["train_vqgan"]
    assert training["runtime"] == profile["default-resources"]["runtime"] == 2
    assert training["mem_mb"] == "8000 if attempt == 1 else 12000" and training["slurm_extra"] == "'--signal=TERM@20'"
    assert profile["set-resources"]["register"]["mem_mb"] == "2000 * attempt"
    assert profile["set-resources"]["train_ode"]["runtime"] == 1
