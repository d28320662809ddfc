"""The report: everything a run left, on one offline page, and a map of the results folder."""

from pathlib import Path

import pandas as pd

from lung4d.evaluate.findings import scan_quality
from lung4d.evaluate.records import EvaluateFindings, ScanQuality
from lung4d.io.atomic import read_json, write_text
from lung4d.io.names import CT, LUNG_MASK, VOLUME, patient_folders, scan_files, scan_of
from lung4d.io.records import as_record
from lung4d.io.tables import read_table
from lung4d.pipeline import job
from lung4d.report.chapters.imaging import QUALITY
from lung4d.report.folder_map import folder_map
from lung4d.report.report import report
from lung4d.report.results import Images, Results, Tables, visits_of
from lung4d.survival.records import SurvivalFindings

logger = job.start(snakemake.log[0])
files, params = snakemake.input, snakemake.params


def one(name, read):
    """The input `name` as `read` gives it, or None where there is none."""
    path = files.get(name)
    return read(path) if path and Path(path).is_file() else None


def by_scan(stage, ending):
    """A stage's files of the scans that can be used."""
    return {scan_of(path): path for path in scan_files(params.folders[stage], scans, ending) if path.is_file()}


tables = {name: one(name, read_table) for name in Tables.__dataclass_fields__}
scans = pd.DataFrame(columns=["subject", "session"]) if tables["split"] is None else tables["split"]
generated = patient_folders(params.folders["generate_trajectories"], scans["subject"])
sessions = {subject: [session for session, _ in visits] for subject, visits in visits_of(tables["split"]).items()}
judged, prognosis, qc = one("evaluate_words", read_json), one("survival_words", read_json), tables["qc"]
pictures = {name: one(name, Path) for name in ("codes_decoded", "code_exemplars")}
results = Results(
    title=params.title,
    shown=params.patients,
    simulated=params.simulated,
    config=params.config,
    participants=[dict(row) for row in params.participants],
    excluded=[dict(row) for row in params.get("excluded", [])],
    notices=list(params.get("notices", [])),
    tables=Tables(**tables),
    images=Images(
        cts=by_scan("convert", CT),
        lung_masks=by_scan("segment", LUNG_MASK),
        warped=by_scan("register", "space-baseline_ct.nii.gz"),
        volumes=by_scan("resample", VOLUME),
        masks=by_scan("resample", LUNG_MASK),
        codebook={path.stem: path for path in pictures.values() if path},
        reconstructions=by_scan("extract_latents", "desc-reconstruction_ct.nii.gz"),
        generated={folder.name.removeprefix("sub-"): folder for folder in generated if folder.is_dir()},
    ),
    evaluation=as_record(EvaluateFindings, judged["findings"]) if judged else EvaluateFindings(),
    prognosis=as_record(SurvivalFindings, prognosis["findings"]) if prognosis else SurvivalFindings(),
    prognosis_method=prognosis["method"] if prognosis else "",
    quality=ScanQuality() if qc is None or qc.empty else scan_quality(qc, QUALITY, sessions),
)
page = report(results)
write_text(page, snakemake.output.index)
write_text(folder_map(), snakemake.output.map)
logger.info("report of %.1f MB, %d patients shown", len(page) / 1e6, results.shown)
