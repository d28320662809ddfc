"""Real CT from end to end: a patient with two visits and three with one. Runs where the data is there."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from helpers import real_data
from helpers.running import ROOT, snakemake

DATA = real_data.folder()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="no real CT here: set LUNG4D_DATA to a folder that holds it"),
]
SCANS = [
    ("pair", "01", 0.0, "lung_pair/3DCT_lung_baseline.mha"),
    ("pair", "02", 1.0, "lung_pair/3DCT_lung_followup.mha"),
    ("thorax", "01", 0.0, "thorax_full/thorax_phase00_cropxy.nii.gz"),
    ("lung2", "01", 0.0, "lung2_5mm/lung2_image.nrrd"),
    ("chest", "01", 0.0, "chest_5mm/Lung_Dx-A0001_5mm_kernelB.nii.gz"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    (folder / "config").mkdir()
    rows = [(subject, session, years, DATA / path) for subject, session, years, path in SCANS]
    pd.DataFrame(rows, columns=["subject", "session", "years", "path"]).to_csv(
        folder / "config/scans.tsv", sep="\t", index=False
    )
    pd.DataFrame(
        {"subject": ["pair", "thorax", "lung2", "chest"], "split": ["train", "train", "train", "test"]}
    ).to_csv(folder / "config/participants.tsv", sep="\t", index=False)
    snakemake("--cores", "2", "--configfile", str(ROOT / "tests/real.yaml"), folder=folder)
    return folder / "results"


def test_all_five_scans_are_usable(run):
    assert len(pd.read_csv(run / "split/split.tsv", sep="\t")) == len(SCANS)
    assert pd.read_csv(run / "split/unusable.tsv", sep="\t").empty


def test_the_landmarks_are_found(run):
    field = sitk.ReadImage(
        str(run / "register/sub-pair/sub-pair_ses-02_from-baseline_to-native_xfm.nii.gz"), sitk.sitkVectorFloat64
    )
    transform = sitk.DisplacementFieldTransform(field)
    table = pd.read_csv(DATA / "lung_pair/landmarks.tsv", sep="\t")
    baseline = table[["baseline_x", "baseline_y", "baseline_z"]].to_numpy()
    followup = table[["followup_x", "followup_y", "followup_z"]].to_numpy()
    found = np.array([transform.TransformPoint(point) for point in baseline])
    before = np.linalg.norm(followup - baseline, axis=1)
    after = np.linalg.norm(found - followup, axis=1)
    print(f"TRE before {before.mean():.2f} mm, after mean {after.mean():.2f}, median {np.median(after):.2f}")
    assert before.mean() > 30
    assert after.mean() < 1.5


def test_the_patient_with_two_visits_has_a_trajectory_and_the_report_shows_it(run):
    generated = sorted((run / "generate_trajectories/sub-pair").glob("*_desc-generated_ct.nii.gz"))
    assert len(generated) >= 4
    baseline = sitk.ReadImage(str(run / "resample/sub-pair/sub-pair_ses-01_desc-preproc_ct.nii"))
    for path in generated:
        image = sitk.ReadImage(str(path))
        assert image.GetSize() == baseline.GetSize()
        assert np.allclose(image.GetOrigin(), baseline.GetOrigin(), atol=1e-3)
    page = (run / "report/index.html").read_text()
    assert "pair" in page and "data:image/png" in page
