"""Do the codes carry prognosis? Cox models chosen and fitted on training patients, scored once on held-out ones.

landmark      who is followed, and from when
covariates    numbers of age, sex and smoking
models        which variables are compared
selection     the codes ranked
cox           a model fitted once and then frozen
fast_cox      the same in plain arrays, for many refits
fitting       fit, freeze, and say how much is optimism
optimism      bootstrap and cross-validation, selection repeated
concordance   the C-index and its interval
kaplan_meier  curves of a low-risk and a high-risk group
analysis      all of it, from tables to tables
findings      verdicts from its tables, and summary.json
records       what is found, as plain values
wording       what it did and could not do, in sentences
"""
