"""Biomarkers: code frequencies and read-outs of every usable scan and of every generated volume."""

from functools import partial
from pathlib import Path

import pandas as pd

from lung4d import logs
from lung4d.biomarkers.measures import file_lung_volume, measure_scan
from lung4d.biomarkers.table import biomarker_table, code_columns, readout_table
from lung4d.io.names import LATENTS, LUNG_MASK, VOLUME, patient_folders, scan_file
from lung4d.io.tables import read_table, write_table
from lung4d.pipeline import job

logger = job.start(snakemake.log[0])

folders = snakemake.params.folders
split = read_table(snakemake.input.split)
volume_of, mask_of = (partial(scan_file, folders["resample"], ending=ending) for ending in (VOLUME, LUNG_MASK))
native_mask_of = partial(scan_file, folders["segment"], ending=LUNG_MASK)
latents_of = partial(scan_file, folders["extract_latents"], ending=LATENTS)

rows, lung_ml = [], {}
usable = list(
    split.sort_values(["subject", "years", "session"])[["subject", "session", "years"]].itertuples(index=False)
)
for subject, session, years in logs.progress(usable, len(usable), "scans"):
    scan = (subject, session)
    keys = {"subject": subject, "kind": "real", "session": session, "given": "", "years": years}
    lung_ml[scan] = file_lung_volume(native_mask_of(*scan))
    measured = measure_scan(latents_of(*scan), volume_of(*scan), mask_of(*scan))
    rows.append(keys | {"lung_volume_ml": lung_ml[scan]} | measured)

baseline_of = {subject: (subject, session) for subject, session, _ in reversed(usable)}
patients = patient_folders(folders["generate_trajectories"], split["subject"])
trajectories = [read_table(folder / f"{folder.name}_trajectories.tsv").assign(folder=folder) for folder in patients]
forecasts = [(row["folder"], row) for listing in trajectories for row in listing.to_dict("records")]
for folder, row in logs.progress(forecasts, len(forecasts), "generated volumes"):
    volume = folder / Path(row["file"]).name
    codes = volume.with_name(volume.name.replace("_desc-generated_ct.nii.gz", "_latents.npz"))
    keys = {key: row[key] for key in ("subject", "given", "years")} | {"kind": "generated", "session": ""}
    baseline = baseline_of[row["subject"]]
    rows.append(keys | {"lung_volume_ml": lung_ml[baseline]} | measure_scan(codes, volume, mask_of(*baseline)))

table = biomarker_table(rows)
write_table(table, snakemake.output.table)
drawn = pd.concat(trajectories) if trajectories else pd.DataFrame(columns=["subject", "given", "years"])
write_table(readout_table(table, drawn), snakemake.output.readouts)
logger.info("%d real scans, %d generated volumes, %d codes", len(usable), len(forecasts), len(code_columns(table)))
