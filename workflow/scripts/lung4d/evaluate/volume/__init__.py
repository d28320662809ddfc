"""How well lung volume is foretold, in ml, by what needs no model.

rivals   forecasts from the given volumes, and what they learn from other patients
errors   volume.tsv: their errors, paired by patient
records  what is found, as plain values
wording  the same in sentences
"""
