"""The judge: how well scans are reconstructed and withheld visits forecast, beside methods that need no model.

smoothing          blurs that stay inside the lung
cohort_change      mean change per year of the training patients
trends             straight lines in time, believed in part, and weighted means of the given scans
boosting           boosted trees on image features
baselines          forecasts without a trained temporal model
forecasters        the trained models as plain functions
tuning             what is learned from patients other than those that are scored
scoring            scores of one forecast
change             what a method says will change, held against what did
forecasting        all forecasts of withheld visits, and the table of their scores
reconstruction     an autoencoder on held-out scans, and the use of its codes
summary            means by patient and over patients, and paired differences to other methods with their intervals
coverage           how often the bands around forecasts hold what was seen
comparisons        the rows of Table 1, Table 3 and the ablation: models that differ in settings
variants           disease models of different settings on the same withheld visits
comparison_tables  what comes of both: tables and pages
change_signal      how hard a cohort is, and what a set without change tells
findings           verdicts and claims from all of these tables
truth              masks, displacement fields, scans and extents of a simulated cohort's truth
methods            the one list of forecasting methods, and the words for what they are held against
records            what is found, as plain values
wording            the same in sentences

Packages within: `calls`, whether a patient is called stable, slow or fast; `unet`, a rival on demand;
`volume`, how well lung volume is foretold.
"""
