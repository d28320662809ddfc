"""One table of every scan's status and quality numbers, with flags."""

from pathlib import Path

from lung4d.io.names import STATUS, scan_file
from lung4d.io.status import read_status
from lung4d.io.tables import read_table, write_table
from lung4d.pipeline import job
from lung4d.pipeline.patient_hashes import with_identity
from lung4d.qc import Thresholds, flatten

logger = job.start(snakemake.log[0])
params = snakemake.params

years = {(scan["subject"], scan["session"]): float(scan["years"]) for scan in params.scans}
places = [(folder, *scan) for folder in params.folders.values() for scan in years]
statuses = [(*scan, read_status(scan_file(folder, *scan, STATUS))) for folder, *scan in places]
copies = read_table(snakemake.input.copies)
table = flatten(statuses, Thresholds(params.max_volume_change, params.min_dice_after), years, copies)
table = with_identity(table, Path())
write_table(table, snakemake.output.table)
flagged = int((table["flags"] != "").sum())
logger.info("%d scans, %d usable, %d flagged", len(table), int(table["ok"].sum()), flagged)
