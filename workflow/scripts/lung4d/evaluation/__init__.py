"""The judge: how well scans are reconstructed and withheld visits forecast, beside methods that need no model.

visits        one patient at a time, from the preprocessed files
smoothing     blurs that stay inside the lung
places        mean change per year of the training patients
baselines     forecasts without a trained model
models        the trained models as plain functions
tuning        what is chosen on val patients: the width of the blur, the share of own detail
forecasting   cases with withheld visits, all forecasts of them, and their scores
reconstruction  the frozen autoencoder on held-out scans, and the use of its codes
autoencoders  any autoencoder on held-out scans, straight from their volumes
summary       means over patients, and paired differences to the references with their intervals
words         all of it in sentences, for the report
truth         masks and displacement fields against a simulated cohort's truth
"""
