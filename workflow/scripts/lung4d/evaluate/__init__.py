"""The judge: how well scans are reconstructed and withheld visits forecast, beside methods that need no model.

smoothing       blurs that stay inside the lung
cohort_change   mean change per year of the training patients
trends          straight lines in time, low-passed and believed in part
boosting        boosted trees on image features
baselines       forecasts without a trained temporal model
forecasters     the trained models as plain functions
tuning          what is learned from patients other than those that are scored
scoring         scores of one forecast
forecasting     all forecasts of withheld visits, and the table of their scores
reconstruction  the frozen autoencoder on held-out scans, and the use of its codes
autoencoders    any autoencoder on held-out scans, straight from their volumes
summary         means over patients, and paired differences to other methods with their intervals
coverage        how often the bands around forecasts hold what was seen
comparison      several models side by side
change_signal   how hard a cohort is, and what a set without change tells
findings        all of it in sentences, for the report
truth           masks, displacement fields, scans and extents of a simulated cohort's truth
ablation        what each part of the disease model is worth
table1          rows of the paper's Table 1
table3          rows of the paper's Table 3
variants        the settings of these rows
"""
