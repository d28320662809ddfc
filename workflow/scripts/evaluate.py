"""evaluate: reconstruction, forecasts of withheld visits beside every baseline, and, where simulated, the truth."""

from collections import Counter, defaultdict
from dataclasses import asdict, replace

from lung4d import logs
from lung4d.evaluate import findings, reconstruction, truth, wording
from lung4d.evaluate.calls.called import call_patients, call_table
from lung4d.evaluate.calls.findings import find_calls
from lung4d.evaluate.calls.rates import foretold_extents, of_forecasts, rate_table, seen_extents
from lung4d.evaluate.change import change_table
from lung4d.evaluate.change_signal import change_signal, unchanged_sets
from lung4d.evaluate.coverage import coverage_rows, coverage_table
from lung4d.evaluate.forecasters import CachedDecoder, decoder_of, forecaster_of
from lung4d.evaluate.forecasting import ScoredPatient, forecast_table, score_patient
from lung4d.evaluate.records import EvaluateFindings
from lung4d.evaluate.scoring import Scorer, extent_per_year
from lung4d.evaluate.summary import compare, groups, summarise
from lung4d.evaluate.tuning import fit_baselines, learned
from lung4d.evaluate.volume.errors import find_volumes, volume_table
from lung4d.evaluate.volume.model import foretold_volumes
from lung4d.evaluate.volume.rivals import volume_series
from lung4d.io.atomic import write_json
from lung4d.io.names import LUNG_MASK, STATUS, scan_files, scan_of
from lung4d.io.records import as_data
from lung4d.io.status import read_status
from lung4d.io.tables import read_table, write_table
from lung4d.ode.calibration import Calibration
from lung4d.ode.ensemble import load_calibration, load_ode
from lung4d.ode.volume import VolumeModels
from lung4d.pipeline import job
from lung4d.training.device import choose_device
from lung4d.visits.given_forecasts import read_given
from lung4d.visits.patient import find_patients, of_split
from lung4d.visits.times import as_years
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = job.start(snakemake.log[0])
files, params, output = snakemake.input, snakemake.params, snakemake.output
folders = params.folders
device = choose_device(snakemake.threads)
vqgan = load_vqgan(files.vqgan, device)
ode = load_ode(files.ode, device, parameter_hash(vqgan))
kept = load_calibration(files.ode)
calibration, volume_models = Calibration.from_record(kept), VolumeModels.from_record(kept.get("volume", {}))
remembering, window = CachedDecoder(vqgan), vqgan.settings.window
decode, forecast = decoder_of(remembering), forecaster_of(remembering, ode)

split = read_table(files.split)
patients = find_patients(split, folders["resample"], folders["extract_latents"], window)
dropped_in = read_given(params.forecasts, patients)
fitted = fit_baselines(patients, forecast, params.blur_sigmas, params.slope_sigmas, params.seed)

truths = truth.truth_folders(folders.get("simulate"), patients)
noisefree, extents = truth.truth_files(truths, "noisefree_ct"), truth.true_extents(truths)
courses = truth.true_courses(folders.get("simulate"))
held_out = [patient for name in reconstruction.HELD_OUT for patient in of_split(patients, name)]
forecast_for = Counter(patient.set for patient in held_out if patient.split != "val")
registered = {scan_of(path): read_status(path) for path in scan_files(folders["register"], split, STATUS)}
differs_in = {scan: status.metrics.get("differs_in", "") for scan, status in registered.items()}
segmented = {scan_of(path): read_status(path).metrics for path in scan_files(folders["segment"], split, STATUS)}
measured = {scan: float(numbers["volume_ml"]) for scan, numbers in segmented.items() if "volume_ml" in numbers}
ruler = Scorer(window, params.low_pass)
scans, visits_forecast, covered, counts = [], [], [], defaultdict(int)
extents_foretold, seen, volumes_made = [], {}, {}
for patient in logs.progress(held_out, len(held_out), "held-out patients"):
    visits = patient.fresh()
    scans += reconstruction.score_reconstructions(visits, decode)
    counts[patient.split] += reconstruction.count_codes(visits, vqgan.settings.codes)
    pace = extent_per_year(visits, ruler, extents)
    scored_as = ScoredPatient(patient.subject, patient.set, courses.get(patient.subject, ""), pace)
    seen |= seen_extents(visits, ruler)
    volumes_made |= foretold_volumes(visits, measured, ode, volume_models, window)
    for given in (2, 4) if patient.split == "val" else (4,):  # others are forecast from two below
        extents_foretold += foretold_extents(scored_as, visits, given, fitted, decode, forecast, ruler, dropped_in)
    if patient.split != "val":
        true = truth.noisefree_of(patient, noisefree)
        visits_forecast += score_patient(
            scored_as, visits, fitted, decode, forecast, ruler, true, dropped_in=dropped_in
        )
        given = ode.observe(visits)
        keys = patient.set, patient.subject, scored_as.course, pace
        taken = {
            year: differs_in.get(scan.key, "")
            for year, scan in zip(as_years(patient.years), patient.scans, strict=True)
        }
        covered += coverage_rows(keys, taken, given, ode, calibration, window)

scored, codes = reconstruction.reconstruction_table(scans), reconstruction.code_table(counts)
forecasts = forecast_table(visits_forecast)
summary = summarise(forecasts, params.bootstrap, params.seed)
differences = compare(forecasts, params.bootstrap, params.seed)
changes = change_table(groups(forecasts), params.bootstrap, params.seed)
rates = rate_table([*of_forecasts(forecasts), *extents_foretold], held_out, extents, seen)
called = call_patients(rates)
calls = call_table(called)
volumes = volume_series(patients, measured, truth.true_volumes(truths), volumes_made)
volume = volume_table(volumes, params.bootstrap, params.seed)
coverage = coverage_table(covered, params.bootstrap, params.seed)
hardness, unchanged = change_signal(forecasts, window), unchanged_sets(forecasts)
tables = {
    output.reconstruction: scored,
    output.codes: codes,
    output.forecast: forecasts,
    output.summary: summary,
    output.differences: differences,
    output.coverage: coverage,
    output.change: changes,
    output.calls: calls,
    output.volume: volume,
}
of_calls, from_more = find_calls(calls, called, rates, findings.verdict, params.bootstrap, params.seed)
found = EvaluateFindings(
    reconstructed=findings.find_reconstructed(scored),
    codes=findings.find_codes(codes),
    learned=learned(fitted, window),
    hardness=findings.find_hardness(hardness),
    tasks=findings.find_tasks(summary, changes, forecast_for, unchanged),
    rivals=findings.find_rivals(differences),
    better=findings.find_better(differences, unchanged),
    bands=findings.find_bands(coverage),
    called=of_calls,
    from_more=from_more,
    volumes=find_volumes(volume, findings.verdict),
    judged=findings.find_judged(forecasts, differs_in),
    given=findings.find_given(forecasts, len(dropped_in.files), dropped_in.strangers),
)

if output.get("segmentation"):  # a cohort with a truth to score against
    baselines = [patient.baseline.key for patient in patients]
    lungs = scan_files(folders["segment"], split, LUNG_MASK)
    segmentation = truth.segmentation_table(lungs, truth.truth_files(truths, "truth_mask"))
    fields = scan_files(folders["register"], split, "from-baseline_to-native_xfm.nii.gz")
    registration = truth.registration_table(fields, truth.truth_files(truths, "truth_landmarks"), baselines)
    tables |= {output.segmentation: segmentation, output.registration: registration}
    found = replace(found, masks=findings.find_masks(segmentation), fields=findings.find_fields(registration))

for path, table in tables.items():
    write_table(table, path)
chosen = {
    "blur_sigma": asdict(fitted.sigma),
    "mix": asdict(fitted.mix),
    "image_trend": asdict(fitted.image_trend),
    "latent_trend": asdict(fitted.latent_trend),
    "weighted_mean": asdict(fitted.weighting),
}
said = wording.sentences(found)
judged = {"difficulty": hardness, "unchanged_sets": unchanged, "findings": as_data(found)}
write_json({"sentences": said, **chosen, **judged}, output.words)
for sentence in said:
    logger.info("%s", sentence)
