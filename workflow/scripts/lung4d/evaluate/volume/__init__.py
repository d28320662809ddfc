"""How well lung volume is foretold, in ml, by the disease model and by what needs none.

rivals   forecasts from the given volumes, and what they learn from other patients
model    the disease model's forecast beside them
errors   volume.tsv: their errors, paired by patient
records  what is found, as plain values
wording  the same in sentences
"""
