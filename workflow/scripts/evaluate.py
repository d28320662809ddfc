"""evaluate: reconstruction, forecasts of withheld visits beside every baseline, and, where simulated, the truth."""

from collections import defaultdict
from dataclasses import asdict
from functools import partial

from lung4d import logs
from lung4d.evaluation import reconstruction, truth, words
from lung4d.evaluation.forecasting import Ruler, forecast_table, score_patient
from lung4d.evaluation.models import Remembering, decoder_of, forecaster_of
from lung4d.evaluation.summary import summarise
from lung4d.evaluation.tuning import fit
from lung4d.evaluation.visits import find_patients, load_visits, of_split
from lung4d.files import write_json
from lung4d.ode.model import load_ode
from lung4d.tables import read_table, write_table
from lung4d.training import choose_device
from lung4d.vqgan.model import load_vqgan, parameter_hash

logger = logs.start(snakemake.log[0])
files, params, output = snakemake.input, snakemake.params, snakemake.output
device = choose_device(snakemake.threads)
vqgan = load_vqgan(files.vqgan, device)
ode = load_ode(files.ode, device, parameter_hash(vqgan))
remembering, window = Remembering(vqgan), vqgan.settings.window
decode, forecast = decoder_of(remembering), forecaster_of(remembering, ode)

patients = find_patients(read_table(files.split), files.volumes, files.masks, files.latents)
load = partial(load_visits, window=window)
fitted = fit(patients, load, forecast, params.blur_sigmas)

noisefree = truth.truth_files(files.get("truth", []), "noisefree_ct")
held_out = [patient for name in reconstruction.HELD_OUT for patient in of_split(patients, name)]
scans, visits_forecast, counts = [], [], defaultdict(int)
for patient in logs.progress(held_out, len(held_out), "held-out patients"):
    visits = load(patient)
    scans += reconstruction.score_reconstructions(patient.subject, patient.split, visits, decode)
    counts[patient.split] += reconstruction.count_codes(visits, vqgan.settings.codes)
    if patient.split == "test":
        truths = truth.noisefree_of(patient, noisefree, window)
        ruler = Ruler(window, params.low_pass)
        visits_forecast += score_patient(patient.subject, visits, fitted, decode, forecast, ruler, truths)

scored, codes = reconstruction.reconstruction_table(scans), reconstruction.code_table(counts)
forecasts = forecast_table(visits_forecast)
summary = summarise(forecasts, params.bootstrap, params.seed)
tables = {output.reconstruction: scored, output.codes: codes, output.forecast: forecasts, output.summary: summary}
said = words.reconstruction_words(scored, codes) + words.fitted_words(fitted, window)
said += words.forecast_words(summary, len(of_split(patients, "test")))

if output.get("segmentation"):  # a cohort with a truth to score against
    baselines = [(patient.subject, patient.sessions[0]) for patient in patients]
    segmentation = truth.segmentation_table(files.segment_masks, truth.truth_files(files.truth, "truth_mask"))
    landmarks = truth.truth_files(files.truth, "truth_landmarks")
    registration = truth.registration_table(files.fields, landmarks, baselines)
    tables |= {output.segmentation: segmentation, output.registration: registration}
    said += words.truth_words(segmentation, registration)

for path, table in tables.items():
    write_table(table, path)
write_json({"sentences": said, "blur_sigma": asdict(fitted.sigma), "mix": asdict(fitted.mix)}, output.words)
for sentence in said:
    logger.info("%s", sentence)
