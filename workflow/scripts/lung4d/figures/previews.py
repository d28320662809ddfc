"""What a training of the 3D-VQ-GAN shows while it runs."""

from pathlib import Path

import torch

from lung4d.figures.scans import reconstruction_figure
from lung4d.figures.slices import voxel_spacing
from lung4d.io.atomic import atomic
from lung4d.io.volumes import from_unit, open_volume, read_affine
from lung4d.visits.scans import PreparedScan
from lung4d.vqgan.data import load_scan
from lung4d.vqgan.run import TrainingState


@torch.no_grad()
def draw_reconstruction(run: TrainingState, scan: PreparedScan, folder: Path) -> None:
    """Input, reconstruction and difference of one scan after this many steps: `folder`/step-00000250.png."""
    run.model.eval()
    window = run.model.settings.window
    volume, mask = load_scan(scan, window)
    result = from_unit(run.model(volume.to(run.device))[0][0, 0].float().cpu().numpy(), window)
    spacing = voxel_spacing(read_affine(scan.volume))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / f"step-{run.step:08d}.png") as temporary:
        name = f"sub-{scan.subject}\nses-{scan.session}"
        temporary.write_bytes(reconstruction_figure([(name, open_volume(scan.volume), result, mask, spacing)]))
