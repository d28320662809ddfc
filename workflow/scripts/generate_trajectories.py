"""Stage generate_trajectories: one patient's scans at any year, from all visits and from the first two."""

from pathlib import Path

import pandas as pd
import SimpleITK as sitk

from lung4d import logs
from lung4d.latents import save_codes
from lung4d.names import forecast_stem, scan_of
from lung4d.native import on_visit, read_visit, visits_named
from lung4d.ode.calibration import Calibration
from lung4d.ode.ensemble import load_calibration, load_ode
from lung4d.ode.trajectories import (
    Models,
    band_columns,
    generate,
    given_sets,
    load_visits,
    to_hu,
    years_to_generate,
)
from lung4d.synthetic import Forecast, Placed, volume_hash, write_spread, write_synthetic
from lung4d.synthetic_dicom import write_synthetic_series
from lung4d.tables import read_table, write_table
from lung4d.training import choose_device
from lung4d.trajectory_strips import write_strips
from lung4d.volumes import open_volume
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = logs.start(snakemake.log[0])
files, params = snakemake.input, snakemake.params
subject, folder = snakemake.wildcards.subject, Path(snakemake.output.folder)
folder.mkdir(parents=True, exist_ok=True)
device = choose_device(snakemake.threads)
vqgan = load_vqgan(files.vqgan, device)
model = load_ode(files.ode, device, parameter_hash(vqgan))
window = vqgan.settings.window
models = Models(vqgan, model, Calibration.from_record(load_calibration(files.ode)), window)


def by_session(paths):
    return {scan_of(path)[1]: path for path in paths}


scans = read_table(files.split).query("subject == @subject")
rows = []
if scans.empty:
    logger.warning("patient %s has no usable scan: nothing to generate", subject)
else:
    visits, baseline = load_visits(scans, files.volumes, files.masks, files.latents, window, model.settings.latents)
    hashes = {"vqgan": parameter_hash(vqgan), "ode": parameter_hash(model), "baseline": volume_hash(baseline)}
    originals = {name: by_session(files.get(name, [])) for name in ("scans", "lungs", "inverses")}
    grid = sitk.ReadImage(str(baseline))
    for given in given_sets(len(visits.years)):
        sessions, given_years = [visits.sessions[i] for i in given], visits.years[given].tolist()
        years = years_to_generate(visits.years, given, params.years, params.interval, params.horizon)
        natives = {s: read_visit(*(of[s] for of in originals.values())) for s in visits_named(params.native, sessions)}
        logger.info("%d scans from session %s", len(years), "+".join(sessions))
        for scan in generate(models, visits, given, years, params.decoding, params.mix):
            forecast = Forecast(subject, sessions, given_years, scan.years, params.decoding, window, **hashes)
            stem = forecast_stem(subject, sessions, scan.years)
            hu = to_hu(scan.volume, visits.region, open_volume(baseline), window)
            volumes = [Placed(stem, hu, baseline, visits.sessions[0])]
            for session, visit in natives.items():
                native = on_visit(hu, visits.region, grid, visit)
                volumes.append(Placed(f"{stem}_space-{session}", native, originals["scans"][session], session))
            for volume in volumes:
                write_synthetic(volume, folder, forecast)
            for volume in (volumes[1:] or volumes) if params.dicom else []:
                write_synthetic_series(volume, folder, forecast)
            save_codes(scan.codes, visits.mask, folder / f"{stem}_latents.npz")
            if scan.spread is not None:
                write_spread(scan.spread * (window[1] - window[0]), baseline, folder / f"{stem}_desc-spread_map.nii.gz")
            keys = (subject, "+".join(sessions), scan.years, params.decoding, f"{stem}_desc-generated_ct.nii.gz")
            rows.append((*keys, *band_columns(scan.bands).values()))

columns = ["subject", "given", "years", "decoding", "file", *band_columns()]
table = pd.DataFrame(rows, columns=columns)
write_table(table, folder / f"sub-{subject}_trajectories.tsv")
if rows:
    known = list(zip(visits.sessions, visits.years.tolist(), strict=True))
    write_strips(folder, table, known, by_session(files.volumes), by_session(files.masks)[visits.sessions[0]])
