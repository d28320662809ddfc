"""Stage generate_trajectories: one patient's scans at any year, from all visits and from the first two."""

from pathlib import Path

import pandas as pd

from lung4d.io.names import scan_of
from lung4d.io.tables import read_table, write_table
from lung4d.ode.calibration import Calibration
from lung4d.ode.dynamics import named
from lung4d.ode.ensemble import load_calibration, load_ode
from lung4d.ode.volume import VolumeModels, lungs_of
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.trajectories.files import Grids, write_scan
from lung4d.trajectories.generate import Models, band_columns, generate, given_sets, years_to_generate
from lung4d.trajectories.native_grid import read_visit, visits_named
from lung4d.trajectories.provenance import ForecastOrigin, volume_hash
from lung4d.trajectories.shrink import write_shrunk
from lung4d.trajectories.strips import write_strips
from lung4d.visits.patient import find_patients
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = job.start(snakemake.log[0])
files, params = snakemake.input, snakemake.params
subject, folder = snakemake.wildcards.subject, Path(snakemake.output.folder)
folder.mkdir(parents=True, exist_ok=True)
device = choose_device(snakemake.threads)
vqgan = load_vqgan(files.vqgan, device)
model = load_ode(files.ode, device, parameter_hash(vqgan))
window = vqgan.settings.window
kept = load_calibration(files.ode)
models = Models(vqgan, model, Calibration.from_record(kept), VolumeModels.from_record(kept.get("volume", {})), window)


def by_session(paths):
    return {scan_of(path)[1]: path for path in paths}


scans = read_table(files.split).query("subject == @subject")
rows = []
if scans.empty:
    logger.warning("patient %s has no usable scan: nothing to generate", subject)
else:
    resampled, latents = Path(files.volumes[0]).parents[1], Path(files.latents).parent
    (patient,) = find_patients(scans, resampled, latents, window)
    visits = model.observe(patient.fresh())
    baseline, lungs = patient.baseline, lungs_of(patient, params.folders["segment"])
    own = {name: volumes[patient.scans.index(baseline)] for name, volumes in lungs.items()}
    hashes = {"vqgan": parameter_hash(vqgan), "ode": parameter_hash(model), "baseline": volume_hash(baseline.volume)}
    originals = {name: by_session(files.get(name, [])) for name in ("scans", "lungs", "inverses")}
    for given in given_sets(len(visits)):
        sessions, given_years = [patient.sessions[i] for i in given], visits.years[given].tolist()
        years = years_to_generate(visits.years, given, params.years, params.interval, params.horizon)
        natives = {s: read_visit(*(of[s] for of in originals.values())) for s in visits_named(params.native, sessions)}
        grids = Grids(baseline.volume, baseline.session, patient.region, patient.mask, natives, originals["scans"])
        logger.info("%d scans from session %s", len(years), "+".join(sessions))
        with named(subject):
            for scan in generate(models, visits, lungs, given, years, params.decoding, params.mix):
                asked = scan.years, params.decoding, window
                forecast = ForecastOrigin(subject, sessions, given_years, *asked, **hashes, volumes=scan.volumes)
                file = write_scan(scan, forecast, grids, folder, params.dicom)
                if params.shrink and not write_shrunk(scan, forecast, grids, own, folder):
                    logger.warning("no lung volume is foretold for year %.3f: nothing to shrink to", scan.years)
                keys = (subject, "+".join(sessions), scan.years, params.decoding, file)
                rows.append((*keys, *band_columns(scan.bands).values()))

columns = ["subject", "given", "years", "decoding", "file", *band_columns()]
table = pd.DataFrame(rows, columns=columns)
write_table(table, folder / f"sub-{subject}_trajectories.tsv")
if rows:
    known = list(zip(patient.sessions, visits.years.tolist(), strict=True))
    write_strips(folder, table, known, by_session(files.volumes), baseline.mask)
