"""Do the codes carry prognosis? Cox models chosen and fitted on training patients, scored once on held-out ones.

`clock` says who is followed from when, `covariates` makes numbers of age, sex and smoking, `models` which variables are
compared, `selection` ranks the codes, `cox` fits, `fitting` freezes, `resampling` (with `quick`, Cox in plain arrays)
tells how optimistic a fit is, `concordance` scores, `groups` holds Kaplan-Meier curves, `analysis` runs it all, `words`
says what happened.
"""
