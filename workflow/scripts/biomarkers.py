"""Biomarkers: code frequencies and read-outs of every usable scan and of every generated volume."""

from itertools import groupby
from pathlib import Path

import pandas as pd

from lung4d import logs
from lung4d.biomarkers.breath import corrected_densities
from lung4d.biomarkers.matching import inner_lung, match_visits
from lung4d.biomarkers.measures import lung_volumes, measure_scan
from lung4d.biomarkers.table import (
    CORRECTED,
    DENSITIES,
    FORETOLD,
    OTHERWISE,
    biomarker_table,
    code_columns,
    readout_table,
)
from lung4d.io.names import LUNG_MASK, STATUS, patient_folders, scan_file
from lung4d.io.status import read_status
from lung4d.io.tables import read_table, write_table
from lung4d.io.volumes import open_mask, open_volume
from lung4d.pipeline import job
from lung4d.visits.scans import baselines, encoded_scans, in_time_order

logger = job.start(snakemake.log[0])

folders, match = snakemake.params.folders, snakemake.params.match
split = read_table(snakemake.input.split)

rows, lung_ml = [], {}
scans = encoded_scans(in_time_order(split), folders["resample"], folders["extract_latents"])
baseline_of = baselines(scans)
by_patient = [list(visits) for _, visits in groupby(scans, key=lambda scan: scan.subject)]
for visits in logs.progress(by_patient, len(by_patient), "patients"):
    mask = open_mask(baseline_of[visits[0].subject].mask)
    volumes = [open_volume(scan.volume) for scan in visits]
    if match:
        volumes, mask = match_visits(volumes, mask), inner_lung(mask)
    first = None  # what was measured of the baseline
    for scan, hu in zip(visits, volumes, strict=True):
        keys = {"subject": scan.subject, "kind": "real", "session": scan.session, "given": "", "years": scan.years}
        own = lung_volumes(scan_file(folders["segment"], *scan.key, LUNG_MASK))
        lung_ml[scan.key] = dict(zip(FORETOLD, own, strict=True))
        registered = read_status(scan_file(folders["register"], *scan.key, STATUS)).metrics
        keys |= {**lung_ml[scan.key], OTHERWISE: registered.get("differs_in", "")}
        measured = measure_scan(scan.latents, hu, mask)
        first = first or measured
        ratios = read_status(scan_file(folders["resample"], *scan.key, STATUS)).metrics
        rows.append(keys | measured | corrected_densities(hu, mask, first["mean_density_hu"], ratios))

patients = patient_folders(folders["generate_trajectories"], split["subject"])
trajectories = [read_table(folder / f"{folder.name}_trajectories.tsv").assign(folder=folder) for folder in patients]
forecasts = [(row["folder"], row) for listing in trajectories for row in listing.to_dict("records")]
for folder, row in logs.progress(forecasts, len(forecasts), "generated volumes"):
    volume = folder / Path(row["file"]).name
    codes = volume.with_name(volume.name.replace("_desc-generated_ct.nii.gz", "_latents.npz"))
    keys = {key: row[key] for key in ("subject", "given", "years")} | {"kind": "generated", "session": ""}
    baseline = baseline_of[row["subject"]]
    mask = open_mask(baseline.mask)
    measured = measure_scan(codes, open_volume(volume), inner_lung(mask) if match else mask)
    # it lies in the baseline's lung, in the baseline's breath
    measured |= {name: measured[density] for name, density in zip(CORRECTED, DENSITIES, strict=True)}
    rows.append(keys | lung_ml[baseline.key] | measured)

table = biomarker_table(rows)
write_table(table, snakemake.output.table)
drawn = pd.concat(trajectories) if trajectories else pd.DataFrame(columns=["subject", "given", "years"])
write_table(readout_table(table, drawn), snakemake.output.readouts)
logger.info("%d real scans, %d generated volumes, %d codes", len(scans), len(forecasts), len(code_columns(table)))
