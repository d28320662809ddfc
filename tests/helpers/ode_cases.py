"""Small models, cohorts and files on which the tests of stage 2 run."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch

from helpers.defaults import defaults, settings_of
from helpers.scripts import Named
from helpers.visit_cases import patient_of
from lung4d.io.latents import Latents, pool_mask, save_latents
from lung4d.io.names import EXPANSION, LATENTS, LUNG_MASK, VOLUME, scan_file
from lung4d.io.tables import write_table
from lung4d.io.volumes import open_mask, open_volume, to_unit
from lung4d.ode.ensemble import save_ode
from lung4d.ode.model import LatentODE, ODESettings
from lung4d.ode.observed import ObservedVisits, VisitTensors
from lung4d.vqgan.model import VQGAN, VQGANSettings, save_vqgan

ROOT = Path(__file__).resolve().parents[2]
GRID = (8, 12, 12)
LATENT = (2, 3, 3)
FACTOR = 2  # of the small models: voxels a latent voxel
WINDOW = (-1000.0, 500.0)
NO_CALIBRATION = {"bands": {}, "carried": {}, "deviations": math.nan}


def section(name: str, **changes) -> dict:
    """A section of the default configuration, as a script gets it in params."""
    values = {key: value for key, value in defaults(name).items() if key != "version"}
    return {**values, "code": "digest", **changes}


def model(seed: int = 0, channels: int = 3, drawn: float = 0.3, **settings) -> LatentODE:
    """A small model in float32; `drawn` fills the last convolutions, which start at zero, so that things change."""
    torch.manual_seed(seed)
    settings = {"hidden": 4, "factor": FACTOR, "features": False, "breath": False, "maps": 0, **settings}
    ode = LatentODE(settings_of(ODESettings, channels=channels, **settings)).eval()
    with torch.no_grad():
        ode.decoder[-1].weight.normal_(0, drawn)
        if ode.drawing:
            ode.drawing.last.weight[ode.drawing.maps :].normal_(0, drawn)
            ode.drawing.signals.weight.normal_(0, 20 * drawn)
    return ode


def save_model(ode: LatentODE, path: Path, vqgan_hash: str, calibration: dict | None = None) -> None:
    """Write a model as an ensemble of one, without bands where no calibration is given."""
    save_ode(ode.settings, [ode.state_dict()], path, vqgan_hash, calibration or NO_CALIBRATION)


def visits(count: int, channels: int = 3, shape=(3, 4, 5), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (count, channels, *shape) and a mask with a border of False."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[1:, 1:-1, 1:-1] = True
    return torch.randn(count, channels, *shape, generator=generator), mask


def given_of(z: torch.Tensor, years, mask: torch.Tensor) -> ObservedVisits:
    """Visits with random scans of FACTOR voxels a latent voxel, whose lung is that of the mask; each scan follows from
    its latent, so that the order of visits does not matter."""
    large = [size * FACTOR for size in mask.shape]
    seeds = [int(abs(float(latent.nan_to_num().sum())) * 1000) for latent in z]
    scans = [np.random.default_rng(seed).uniform(-0.5, 0.1, large).astype(np.float32) for seed in seeds]
    region = mask.numpy().repeat(FACTOR, 0).repeat(FACTOR, 1).repeat(FACTOR, 2)
    return ObservedVisits.of(
        years, z, mask, np.stack(scans) if scans else np.zeros((0, *large)), region, (3.0, 2.0, 2.0)
    )


def drifting(patients: int, seed: int = 0, noise: float = 0.05, split=("train",)) -> list[VisitTensors]:
    """Patients whose second channel drifts by half a unit a year, up or down as the first channel's sign says."""
    rng = np.random.default_rng(seed)
    shape, channels = (4, 5, 5), 3
    mask = np.zeros(shape, bool)
    mask[:, 1:-1, 1:-1] = True
    made = []
    for number in range(patients):
        years = np.round(np.sort(np.append(0.0, rng.uniform(0.4, 5.0, int(rng.integers(2, 5))))), 3)
        sign = 1 if number % 2 else -1
        base = rng.normal(0, 0.3, (channels, *shape)) + np.array([sign, 0, 0])[:, None, None, None]
        drift = np.array([0, 0.5 * sign, 0])[:, None, None, None]
        z = np.stack([base + year * drift for year in years])
        z = (z + rng.normal(0, noise, z.shape)).astype(np.float32)
        made.append(tensors(f"{number:03d}", split[number % len(split)], years, z, mask))
    return made


def tensors(subject: str, split: str, years: np.ndarray, z: np.ndarray, mask: np.ndarray) -> VisitTensors:
    """A patient whose scans are the second channel of the latents, 100 HU a unit around -700, with noise."""
    rng = np.random.default_rng(int(subject))
    region, *hu = (part.repeat(FACTOR, 0).repeat(FACTOR, 1).repeat(FACTOR, 2) for part in (mask, *z[:, 1]))
    volumes = tuple(np.rint(-700 + 100 * scan + rng.normal(0, 30, scan.shape)).astype(np.int16) for scan in hu)
    read = {"volumes": volumes, "region": region, "mask": mask, "spacing": (3.0, 2.0, 2.0)}
    return VisitTensors.of(patient_of(subject, split, years, WINDOW, **read), torch.from_numpy(z))


def write_cohort(folder: Path, cohort: dict[str, list[float]], splits: dict[str, str], grid=GRID) -> Named:
    """Files as the stages before leave them: volumes, masks, latents of a tiny 3D-VQ-GAN, split table.

    cohort: years of the visits by subject. Returns the paths: split, vqgan, volumes, masks, latents (folders); and
    folders, where a script finds what the stages segment, resample and extract_latents left.
    """
    torch.manual_seed(0)
    vqgan = VQGAN(settings_of(VQGANSettings, codes=16, embedding=4, width=4)).eval()
    with torch.no_grad():
        vqgan.quantiser.codebook.normal_(0, 0.3)
    save_vqgan(vqgan, folder / "vqgan.pt")
    paths = Named(split=folder / "split.tsv", vqgan=folder / "vqgan.pt", volumes=[], masks=[], latents=[])
    paths.folders = dict.fromkeys(("segment", "resample", "extract_latents"), str(folder))
    rows = []
    for subject, years in cohort.items():
        paths.latents.append(folder / f"sub-{subject}")
        paths.latents[-1].mkdir()
        for number, year in enumerate(years, start=1):
            session = f"{number:02d}"
            _write_scan(folder, vqgan, subject, session, year, paths, grid)
            rows.append((subject, session, year, splits[subject]))
    write_table(pd.DataFrame(rows, columns=["subject", "session", "years", "split"]), paths.split)
    return paths


def _write_scan(folder: Path, vqgan: VQGAN, subject: str, session: str, year: float, paths: Named, grid) -> None:
    """A lung that grows denser with the years inside a body of soft tissue with bone above the HU window."""
    rng = np.random.default_rng(int(subject))
    region = np.zeros(grid, bool)
    region[1:-1, 2:-2, 2:-2] = True
    hu = np.where(region, -800 + 60 * year + rng.normal(0, 20, grid), 40)
    hu[0] = 900
    affine = np.diag([-2.0, -2.0, 3.0, 1.0]) + np.array([[0, 0, 0, 5.0], [0, 0, 0, 7], [0, 0, 0, -9], [0, 0, 0, 0]])
    paths.volumes.append(scan_file(folder, subject, session, VOLUME))
    paths.masks.append(scan_file(folder, subject, session, LUNG_MASK))
    nib.save(nib.Nifti1Image(np.rint(hu).astype(np.int16).T, affine), paths.volumes[-1])
    nib.save(nib.Nifti1Image(region.astype(np.uint8).T, affine), paths.masks[-1])
    coarse = np.full([-(-size // 4) for size in grid], 0.02 * year, np.float32)
    nib.save(nib.Nifti1Image(coarse.T, affine), scan_file(folder, subject, session, EXPANSION))
    with torch.no_grad():
        unit = to_unit(open_volume(paths.volumes[-1]), vqgan.settings.window)
        continuous = vqgan.encode(torch.from_numpy(unit)[None, None])
        quantised = vqgan.quantise(continuous)
    latents = Latents(
        quantised.codes[0].numpy().astype(np.int16),
        quantised.embeddings[0].numpy(),
        continuous[0].numpy(),
        pool_mask(open_mask(paths.masks[-1]), 4),
    )
    save_latents(latents, scan_file(folder, subject, session, LATENTS))
