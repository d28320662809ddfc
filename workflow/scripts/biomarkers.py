"""Biomarkers: code frequencies and read-outs of every usable scan and of every generated volume."""

from pathlib import Path

import pandas as pd

from lung4d import logs
from lung4d.biomarkers.measures import lung_volumes, measure_scan
from lung4d.biomarkers.table import FORETOLD, OTHERWISE, biomarker_table, code_columns, readout_table
from lung4d.io.names import LUNG_MASK, STATUS, patient_folders, scan_file
from lung4d.io.status import read_status
from lung4d.io.tables import read_table, write_table
from lung4d.pipeline import job
from lung4d.visits.scans import baselines, encoded_scans, in_time_order

logger = job.start(snakemake.log[0])

folders = snakemake.params.folders
split = read_table(snakemake.input.split)

rows, lung_ml = [], {}
scans = encoded_scans(in_time_order(split), folders["resample"], folders["extract_latents"])
for scan in logs.progress(scans, len(scans), "scans"):
    keys = {"subject": scan.subject, "kind": "real", "session": scan.session, "given": "", "years": scan.years}
    measured = lung_volumes(scan_file(folders["segment"], *scan.key, LUNG_MASK))
    lung_ml[scan.key] = dict(zip(FORETOLD, measured, strict=True))
    registered = read_status(scan_file(folders["register"], *scan.key, STATUS)).metrics
    keys |= {**lung_ml[scan.key], OTHERWISE: registered.get("differs_in", "")}
    rows.append(keys | measure_scan(scan.latents, scan.volume, scan.mask))

baseline_of = baselines(scans)
patients = patient_folders(folders["generate_trajectories"], split["subject"])
trajectories = [read_table(folder / f"{folder.name}_trajectories.tsv").assign(folder=folder) for folder in patients]
forecasts = [(row["folder"], row) for listing in trajectories for row in listing.to_dict("records")]
for folder, row in logs.progress(forecasts, len(forecasts), "generated volumes"):
    volume = folder / Path(row["file"]).name
    codes = volume.with_name(volume.name.replace("_desc-generated_ct.nii.gz", "_latents.npz"))
    keys = {key: row[key] for key in ("subject", "given", "years")} | {"kind": "generated", "session": ""}
    baseline = baseline_of[row["subject"]]
    rows.append(keys | lung_ml[baseline.key] | measure_scan(codes, volume, baseline.mask))

table = biomarker_table(rows)
write_table(table, snakemake.output.table)
drawn = pd.concat(trajectories) if trajectories else pd.DataFrame(columns=["subject", "given", "years"])
write_table(readout_table(table, drawn), snakemake.output.readouts)
logger.info("%d real scans, %d generated volumes, %d codes", len(scans), len(forecasts), len(code_columns(table)))
