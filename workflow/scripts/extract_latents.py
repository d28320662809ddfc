"""Stage extract_latents: codes, embeddings and reconstructions of one patient's usable scans."""

from pathlib import Path

from lung4d.io.latents import save_latents
from lung4d.io.tables import read_table
from lung4d.io.volumes import write_like
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.trajectories.provenance import RECONSTRUCTION
from lung4d.visits.scans import prepared_scans
from lung4d.vqgan.extraction import extract_latents
from lung4d.vqgan.model import load_vqgan

logger = job.start(snakemake.log[0])
subject = snakemake.wildcards.subject
folder = Path(snakemake.output.folder)
folder.mkdir(parents=True, exist_ok=True)

model = load_vqgan(snakemake.input.model, choose_device(snakemake.threads))
split = read_table(snakemake.input.split).query("subject == @subject")
for scan in prepared_scans(split, snakemake.params.folders["resample"]):
    latents, reconstruction = extract_latents(model, scan)
    stem = f"sub-{subject}_ses-{scan.session}"
    save_latents(latents, folder / f"{stem}_latents.npz")
    write_like(reconstruction, scan.volume, folder / f"{stem}_desc-reconstruction_ct.nii.gz", RECONSTRUCTION)
logger.info("latents of %d scans", len(split))
