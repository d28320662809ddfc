"""Biomarkers: code frequencies and read-outs of every usable scan and of every generated volume."""

from pathlib import Path

import pandas as pd

from lung4d import logs
from lung4d.biomarker_table import biomarker_table, code_columns, readout_table
from lung4d.biomarkers import lung_volume, measure
from lung4d.names import scan_of
from lung4d.tables import read_table, write_table

logger = logs.start(snakemake.log[0])

volumes = {scan_of(path): path for path in snakemake.input.volumes}
masks = {scan_of(path): path for path in snakemake.input.masks}
native_masks = {scan_of(path): path for path in snakemake.input.lungs}
latents = {scan_of(path): path for folder in snakemake.input.latents for path in Path(folder).glob("*_latents.npz")}
split = read_table(snakemake.input.split)

rows, lung_ml = [], {}
usable = list(
    split.sort_values(["subject", "years", "session"])[["subject", "session", "years"]].itertuples(index=False)
)
for subject, session, years in logs.progress(usable, len(usable), "scans"):
    scan = (subject, session)
    keys = {"subject": subject, "kind": "real", "session": session, "given": "", "years": years}
    lung_ml[scan] = lung_volume(native_masks[scan])
    rows.append(keys | {"lung_volume_ml": lung_ml[scan]} | measure(latents[scan], volumes[scan], masks[scan]))

baseline_of = {subject: (subject, session) for subject, session, _ in reversed(usable)}
listings = [path for folder in snakemake.input.generated for path in sorted(Path(folder).glob("*_trajectories.tsv"))]
trajectories = [read_table(path).assign(folder=path.parent) for path in listings]
forecasts = [(row["folder"], row) for listing in trajectories for row in listing.to_dict("records")]
for folder, row in logs.progress(forecasts, len(forecasts), "generated volumes"):
    volume = folder / Path(row["file"]).name
    codes = volume.with_name(volume.name.replace("_desc-generated_ct.nii.gz", "_latents.npz"))
    keys = {key: row[key] for key in ("subject", "given", "years")} | {"kind": "generated", "session": ""}
    baseline = baseline_of[row["subject"]]
    rows.append(keys | {"lung_volume_ml": lung_ml[baseline]} | measure(codes, volume, masks[baseline]))

table = biomarker_table(rows)
write_table(table, snakemake.output.table)
drawn = pd.concat(trajectories) if trajectories else pd.DataFrame(columns=["subject", "given", "years"])
write_table(readout_table(table, drawn), snakemake.output.readouts)
logger.info("%d real scans, %d generated volumes, %d codes", len(usable), len(forecasts), len(code_columns(table)))
