"""Stage extract_latents: codes and embeddings of one patient's usable scans."""

from pathlib import Path

from lung4d import logs
from lung4d.latents import save_latents
from lung4d.tables import read_table
from lung4d.training import choose_device
from lung4d.vqgan.data import usable_scans
from lung4d.vqgan.extraction import extract_latents
from lung4d.vqgan.model import load_vqgan

logger = logs.start(snakemake.log[0])
subject = snakemake.wildcards.subject
folder = Path(snakemake.output.folder)
folder.mkdir(parents=True, exist_ok=True)

model = load_vqgan(snakemake.input.model, choose_device(snakemake.threads))
split = read_table(snakemake.input.split).query("subject == @subject")
for scan in usable_scans(split, snakemake.input.volumes, snakemake.input.masks):
    save_latents(extract_latents(model, scan), folder / f"sub-{subject}_ses-{scan.session}_latents.npz")
logger.info("latents of %d scans", len(split))
