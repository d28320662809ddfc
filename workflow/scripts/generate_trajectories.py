"""Stage generate_trajectories: one patient's scans at any year, from all visits and from the first two."""

from pathlib import Path

import pandas as pd

from lung4d import logs
from lung4d.latents import save_codes
from lung4d.names import forecast_stem
from lung4d.ode.model import load_ode
from lung4d.ode.trajectories import generate, given_sets, load_visits, to_hu, years_to_generate
from lung4d.tables import read_table, write_table
from lung4d.training import choose_device
from lung4d.volumes import open_volume, write_like
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = logs.start(snakemake.log[0])
subject, params, folder = snakemake.wildcards.subject, snakemake.params, Path(snakemake.output.folder)
folder.mkdir(parents=True, exist_ok=True)
device = choose_device(snakemake.threads)
vqgan = load_vqgan(snakemake.input.vqgan, device)
model = load_ode(snakemake.input.ode, device, parameter_hash(vqgan))
window = vqgan.settings.window

scans = read_table(snakemake.input.split).query("subject == @subject")
rows = []
if scans.empty:
    logger.warning("patient %s has no usable scan: nothing to generate", subject)
else:
    visits, baseline = load_visits(
        scans, snakemake.input.volumes, snakemake.input.masks, snakemake.input.latents, window, model.settings.latents
    )
    for given in given_sets(len(visits.years)):
        years = years_to_generate(visits.years, given, params.years, params.interval, params.horizon)
        sessions = [visits.sessions[i] for i in given]
        logger.info("%d scans from session %s", len(years), "+".join(sessions))
        for scan in generate(vqgan, model, visits, given, years, params.decoding, params.mix):
            stem = forecast_stem(subject, sessions, scan.years)
            hu = to_hu(scan.volume, visits.region, open_volume(baseline), window)
            write_like(hu, baseline, folder / f"{stem}_desc-generated_ct.nii.gz")
            save_codes(scan.codes, visits.mask, folder / f"{stem}_latents.npz")
            rows.append((subject, "+".join(sessions), scan.years, params.decoding, f"{stem}_desc-generated_ct.nii.gz"))

table = pd.DataFrame(rows, columns=["subject", "given", "years", "decoding", "file"])
write_table(table, folder / f"sub-{subject}_trajectories.tsv")
