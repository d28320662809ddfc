"""The report: everything a run left, on one offline page, and a map of the results folder."""

from pathlib import Path

from lung4d import logs
from lung4d.files import read_json, write_text
from lung4d.names import scan_of
from lung4d.site.folder import folder_map
from lung4d.site.report import report
from lung4d.site.results import Images, Results, Tables
from lung4d.tables import read_table

logger = logs.start(snakemake.log[0])
files, params = snakemake.input, snakemake.params


def many(name):
    """Paths of an input that may be absent, one file or several; empty files stand for scans that stopped before."""
    paths = files.get(name) or []
    paths = [paths] if isinstance(paths, str) else paths
    return [path for path in map(Path, paths) if path.is_dir() or (path.is_file() and path.stat().st_size)]


def by_scan(paths):
    return {scan_of(path): path for path in paths}


def words(name):
    return next((read_json(path) for path in many(name)), {})


tables = {name: next((read_table(path) for path in many(name)), None) for name in Tables.__dataclass_fields__}
images = {name: by_scan(many(name)) for name in ("cts", "lung_masks", "warped", "volumes", "masks")}
drawn = [path for folder in many("latents") for path in sorted(folder.glob("*_desc-reconstruction_ct.nii*"))]
results = Results(
    title=params.title,
    shown=params.patients,
    simulated=params.simulated,
    config=params.config,
    participants=[dict(row) for row in params.participants],
    excluded=[dict(row) for row in params.get("excluded", [])],
    tables=Tables(**tables),
    images=Images(
        **images,
        codebook={path.stem: path for name in ("codes_decoded", "code_exemplars") for path in many(name)},
        reconstructions=by_scan(drawn),
        generated={folder.name.removeprefix("sub-"): folder for folder in many("generated")},
    ),
    evaluate_words=words("evaluate_words"),
    survival_words=words("survival_words"),
)
page = report(results)
write_text(page, snakemake.output.index)
write_text(folder_map(), snakemake.output.map)
logger.info("report of %.1f MB, %d patients shown", len(page) / 1e6, results.shown)
