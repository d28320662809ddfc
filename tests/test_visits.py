"""One patient's visits: their order and files, and what is read of them when."""

import ast

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.code_imports import SCRIPTS, files_of, outside
from helpers.ode_cases import WINDOW, write_cohort
from lung4d.io.tables import read_table
from lung4d.ode.observed import VisitTensors, observe
from lung4d.visits.patient import EVERYTHING, find_patients
from lung4d.visits.scans import baselines, encoded_scans, in_time_order

YEARS = [2.0000000123, 0.0, 0.7]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Folder with the files of one patient, whose second session is the earliest, and the split table."""
    folder = tmp_path_factory.mktemp("cohort")
    return folder, read_table(write_cohort(folder, {"007": YEARS}, {"007": "test"}).split).assign(years=YEARS)


def patient_in(cohort):
    folder, split = cohort
    (patient,) = find_patients(split, folder, folder, WINDOW)
    return patient


def test_visits_are_in_time_order_and_scans_in_that_of_the_table(cohort):
    folder, split = cohort
    patient = patient_in(cohort)
    assert patient.sessions == ("02", "03", "01") and patient.baseline.session == "02"
    scans = encoded_scans(split, folder, folder)
    assert [scan.session for scan in scans] == ["01", "02", "03"]
    assert baselines(encoded_scans(in_time_order(split), folder, folder))["007"] == scans[1]


def test_visits_of_one_day_are_in_the_order_of_their_sessions():
    table = pd.DataFrame({"subject": "1", "session": ["b", "a", "c"], "years": [0.0, 0.0, -1.0]})
    assert in_time_order(table)["session"].tolist() == ["c", "a", "b"]


def test_nothing_is_read_before_it_is_asked_for_and_a_fresh_copy_reads_anew(cohort):
    patient = patient_in(cohort)
    assert len(patient) == 3 and patient.set == "test"
    assert not {"volumes", "unit", "latents", "region"} & set(vars(patient))
    copy = patient.fresh()
    assert copy.unit.shape == (3, *copy.region.shape) and "unit" not in vars(patient)


def test_the_baselines_lung_holds_for_visits_taken_without_it(cohort):
    patient = patient_in(cohort)
    taken = patient.take([1, 2])
    assert taken.sessions == ("03", "01") and len(taken.latents) == 2
    assert np.array_equal(taken.unit, patient.unit[1:]) and not np.shares_memory(taken.unit, patient.unit)
    assert taken.region is patient.region and taken.baseline == patient.baseline
    assert np.array_equal(taken.fresh().region, patient.region) and np.array_equal(taken.fresh().mask, patient.mask)


def test_a_crop_is_that_part_of_the_scans(cohort):
    patient = patient_in(cohort)
    box = (slice(1, 3), slice(0, 4), slice(5, 9))
    assert np.array_equal(patient.crop(box), patient.unit[:, 1:3, 0:4, 5:9])
    assert np.array_equal(patient.crop(EVERYTHING), patient.unit)


@pytest.mark.parametrize("kind", ["continuous", "quantised"])
def test_both_ways_to_tensors_agree_and_they_alone_round_the_years(cohort, kind):
    patient = patient_in(cohort)
    whole, kept = observe(patient, kind), VisitTensors.read(patient, kind).observe()
    assert patient.years[2] == YEARS[0] and whole.years[2] == kept.years[2] == 2.0
    for name in ("z", "mask", "scans", "region", "height"):
        assert torch.equal(getattr(whole, name), getattr(kept, name)), name
    assert torch.allclose(whole.depth, kept.depth, rtol=1e-3)  # kept in 16 bits
    assert torch.allclose(whole.densities, kept.densities, atol=1e-6)


def test_the_light_part_needs_neither_torch_nor_files_of_volumes():
    modules = (SCRIPTS / f"lung4d/visits/{name}.py" for name in ("scans", "tasks", "times", "split"))
    assert {module.split(".")[0] for module in outside(files_of(*modules))} == {"numpy", "pandas"}


def test_the_order_of_visits_is_written_once():
    def orders(tree: ast.AST) -> int:
        calls = (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call))
        return sum("sort_values(" in call and "'years', 'session'" in call for call in calls)

    found = {path.name: orders(ast.parse(path.read_text())) for path in SCRIPTS.rglob("*.py")}
    assert {name: count for name, count in found.items() if count} == {"scans.py": 1}
