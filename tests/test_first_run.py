"""What is said before a first run: how long it takes, and what the cohort cannot show."""

import pytest

from helpers.running import ROOT
from lung4d.evaluate.findings import ENOUGH
from lung4d.pipeline import estimate
from lung4d.pipeline.door.configuration import check_config, load_yaml, overlaid
from lung4d.survival.records import FEW_EVENTS
from lung4d.training import device
from lung4d.visits.power import Enough, SetCounts, cannot_show, count_lines, count_sets

DEFAULTS = load_yaml(ROOT / "config/config.yaml")
LIMITS = Enough(ENOUGH, DEFAULTS["survival"]["min_events"], FEW_EVENTS)
FORECAST, CHOICE = "whether a forecast is better", "which step of the training"
CHANGE, NO_OUTCOME = "how lungs change", "survival: no patient has an outcome"
FIT = "survival: {} deaths among training"
STEADY, OTHERS = "steady survival models: {} deaths", "what survival models are worth on other patients"
# Patients by set (all, with two visits, with three, with an outcome, deaths), and what they cannot show.
COHORTS = {
    "one patient, one visit": ({"train": (1, 0, 0, 0, 0)}, [CHANGE, FORECAST, CHOICE, NO_OUTCOME]),
    "two visits at most, no outcomes": (
        {"train": (40, 40, 0, 0, 0), "val": (10, 10, 0, 0, 0), "test": (12, 12, 0, 0, 0)},
        [FORECAST, NO_OUTCOME],
    ),
    "few test patients with three visits": (
        {"train": (140, 140, 30, 140, 90), "val": (10, 10, 8, 10, 9), "test": (12, 9, 4, 12, 6)},
        [FORECAST],
    ),
    "nobody died": (
        {"train": (40, 40, 30, 40, 0), "val": (10, 10, 8, 10, 0), "test": (12, 12, 9, 12, 0)},
        [FIT.format(0), OTHERS],
    ),
    "few deaths": (
        {"train": (40, 40, 30, 40, 3), "val": (10, 10, 8, 10, 1), "test": (12, 12, 9, 12, 2)},
        [FIT.format(4)],
    ),
    "deaths enough to fit, not to be steady": (
        {"train": (60, 60, 50, 60, 20), "val": (10, 10, 8, 10, 4), "test": (20, 20, 9, 20, 8)},
        [STEADY.format(24)],
    ),
    "no val patients": (
        {"train": (200, 200, 150, 200, 90), "test": (50, 50, 40, 50, 20)},
        [CHOICE],
    ),
    "deaths among external patients alone": (
        {
            "train": (200, 200, 150, 200, 90),
            "val": (30, 30, 9, 0, 0),
            "test": (9, 9, 9, 0, 0),
            "external": (9, 0, 0, 9, 5),
        },
        [],
    ),
    "a large cohort": (
        {"train": (400, 400, 300, 400, 150), "val": (90, 90, 80, 90, 30), "test": (120, 120, 90, 120, 50)},
        [],
    ),
}


@pytest.mark.parametrize("name", COHORTS)
def test_what_a_cohort_cannot_show_is_said_and_nothing_else(name):
    numbers, expected = COHORTS[name]
    found = cannot_show({one: SetCounts(*counts) for one, counts in numbers.items()}, DEFAULTS, LIMITS)
    assert [any(text in sentence for sentence in found) for text in expected] == [True] * len(expected), found
    assert len(found) == len(expected), found


def test_the_sets_are_those_that_the_stage_deals_and_deaths_are_counted_with_them():
    visits = {f"{number:02d}": 1 + number % 4 for number in range(20)}
    people = [{"subject": subject, "event": int(subject < "10"), "followup_years": 3.0} for subject in visits]
    people += [{"subject": "99", "event": 1, "followup_years": 1.0}]
    people[0] |= {"event": None}
    sets = count_sets(visits, people, {"03": "external"}, DEFAULTS["split"])
    assert sum(one.patients for one in sets.values()) == 20 and sets["external"].patients == 1
    assert sum(one.deaths for one in sets.values()) == 9 and sum(one.followed for one in sets.values()) == 19
    assert sum(one.two for one in sets.values()) == 15 and sum(one.three for one in sets.values()) == 10
    lines = count_lines(visits, sets)
    assert lines[0] == "Patients with one visit: 5, with two: 5, with three or more: 10."
    assert "  external patients: 1, 1 with two visits, 1 with three; 1 died of 1 with an outcome" in lines


def config_of(name):
    return overlaid(DEFAULTS, load_yaml(ROOT / "config" / name))


def hours(name, patients=60, cores=8, gpu=False, bf16="", voxels=60e6, visits=3):
    config, cohort = config_of(name), estimate.CohortSize(patients, patients * visits, voxels)
    seconds = estimate.job_seconds(config, cohort, estimate.Machine(cores, bf16, gpu))
    jobs = estimate.first_run(config, cohort)
    assert set(jobs) <= set(seconds) and all(seconds[rule] > 0 for rule in jobs)
    return estimate.clock_seconds(jobs, seconds, cores) / 3600


# Two runs of which the second takes longer.
LONGER = {
    "more patients": ({"patients": 10}, {"patients": 60}),
    "fewer cores": ({"cores": 16}, {"cores": 2}),
    "no GPU": ({"gpu": True}, {"gpu": False}),
    "no bf16": ({"bf16": "avx512_bf16"}, {"bf16": ""}),
    "no matrix units": ({"bf16": "amx_bf16"}, {"bf16": "avx512_bf16"}),
    "larger scans": ({"voxels": 20e6}, {"voxels": 120e6}),
    "more visits": ({"visits": 2}, {"visits": 6}),
}


@pytest.mark.parametrize("what", LONGER)
def test_a_run_with_less_to_run_on_or_more_to_do_is_estimated_longer(what):
    short, long = LONGER[what]
    assert hours("config.yaml", **short) < hours("config.yaml", **long)


def test_the_estimate_of_the_trainings_is_that_of_the_benchmarks():
    # vqgan.md: 7.86 and 10.65 TFLOP before and after the GAN starts, at 22 % of 1.26 TFLOP/s, six of them a step
    cohort, machine = estimate.CohortSize(219, 657, 60e6), estimate.Machine(1, bf16="amx_bf16")
    seconds = estimate.job_seconds(DEFAULTS, cohort, machine)
    assert seconds["train_vqgan"] == pytest.approx(20000 * 6 * (7.86 + 10.65) / 2 / 0.277, rel=0.1)
    # ode.md: 7.6 h with two threads for 140 of 175 patients at a time, whose whole cohort is the 219
    two = estimate.job_seconds(config_of("config.yaml"), estimate.CohortSize(273, 819, 60e6), estimate.Machine(2))
    assert two["train_ode"] == pytest.approx(7.6 * 3600, rel=0.4)


def test_small_is_a_matter_of_hours_on_a_laptop_and_the_default_is_not():
    assert hours("small.yaml", patients=60, cores=4) < 12 < 24 < hours("config.yaml", patients=60, cores=4)
    laptop = estimate.memory_bytes(config_of("small.yaml"), estimate.CohortSize(200, 600, 65e6), 4)
    assert laptop < 8e9
    assert estimate.memory_bytes(DEFAULTS, estimate.CohortSize(200, 600, 65e6), 4) > 9e9


@pytest.mark.parametrize("name", ["small.yaml", "paper.yaml", "demo.yaml"])
def test_the_overlays_are_good_and_hold_together(name):
    config = config_of(name)
    check_config(config, load_yaml(ROOT / "workflow/schemas/config.schema.yaml"))
    shape = config["resample"]["shape"]
    for section in ("train_vqgan", "train_ode"):
        crop = config[section]["crop"]
        assert crop is None or all(side <= whole and side % 4 == 0 for side, whole in zip(crop, shape, strict=True))
    vqgan = config["train_vqgan"]
    assert vqgan["gan_start"] + vqgan["fine_tune_steps"] <= vqgan["steps"]


def test_small_is_between_the_demo_and_the_default_and_says_why():
    demo, small = config_of("demo.yaml"), config_of("small.yaml")
    for section, key in (("register", "spacing"), ("train_vqgan", "steps"), ("train_ode", "epochs")):
        one, between, other = (config[section][key] for config in (demo, small, DEFAULTS))
        assert min(one, other) < between < max(one, other), key
    text = (ROOT / "config/small.yaml").read_text()
    assert small["cohort"] == "tables" and "simulate" not in load_yaml(ROOT / "config/small.yaml")
    assert text.count(" # ") >= 12


def test_voxels_of_packed_files_are_those_that_they_hold(tmp_path):
    for name in ("a.nii", "b.nii.gz"):
        (tmp_path / name).write_bytes(bytes(1200))
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom/1").write_bytes(bytes(1200))
    plain, packed, folder = (estimate.voxels_of(tmp_path / name) for name in ("a.nii", "b.nii.gz", "dicom"))
    assert plain == folder == 600 and packed == pytest.approx(1000)


def test_matrix_units_are_read_off_the_machine(tmp_path):
    flags = {
        "intel": "fpu avx512_bf16 amx_bf16 amx_tile",
        "amd": "fpu avx2 avx512_bf16",
        "old": "fpu avx2 avx512_bf16x",
    }
    for name, line in flags.items():
        (tmp_path / name).write_text(f"flags : {line}\n")
    found = [estimate.bf16_flag(tmp_path / name) for name in (*flags, "absent")]
    assert found == ["amx_bf16", "avx512_bf16", "", ""]
    assert tuple(estimate.CORE_BF16) == device.BF16_FEATURES
