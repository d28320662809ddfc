"""Biomarkers: code frequencies and lung density of every usable scan and of every generated volume."""

from pathlib import Path

from lung4d import logs
from lung4d.biomarker_table import biomarker_table, code_columns
from lung4d.biomarkers import measure
from lung4d.names import scan_of
from lung4d.tables import read_table, write_table

logger = logs.start(snakemake.log[0])

volumes = {scan_of(path): path for path in snakemake.input.volumes}
masks = {scan_of(path): path for path in snakemake.input.masks}
latents = {scan_of(path): path for folder in snakemake.input.latents for path in Path(folder).glob("*_latents.npz")}
split = read_table(snakemake.input.split)

rows = []
usable = list(split[["subject", "session", "years"]].itertuples(index=False))
for subject, session, years in logs.progress(usable, len(usable), "scans"):
    scan = (subject, session)
    keys = {"subject": subject, "kind": "real", "session": session, "given": "", "years": years}
    rows.append(keys | measure(latents[scan], volumes[scan], masks[scan]))

# every session of a patient carries the baseline's lung mask, so any of them is the generated volume's
lung_of = {subject: masks[subject, session] for subject, session, _ in usable}
forecasts = []
for folder in map(Path, snakemake.input.generated):
    for listing in sorted(folder.glob("*_trajectories.tsv")):
        forecasts += [(folder, row) for row in read_table(listing).to_dict("records")]
for folder, row in logs.progress(forecasts, len(forecasts), "generated volumes"):
    volume = folder / Path(row["file"]).name
    codes = volume.with_name(volume.name.replace("_desc-generated_ct.nii.gz", "_latents.npz"))
    keys = {key: row[key] for key in ("subject", "given", "years")} | {"kind": "generated", "session": ""}
    rows.append(keys | measure(codes, volume, lung_of[row["subject"]]))

table = biomarker_table(rows)
write_table(table, snakemake.output.table)
logger.info("%d real scans, %d generated volumes, %d codes", len(usable), len(forecasts), len(code_columns(table)))
