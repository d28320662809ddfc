"""Whether a patient is called stable, slow or fast, against the truth.

rates      how fast every method says that a patient's disease goes, and how fast it went
cutoffs    from which number on a patient is no longer called stable, chosen on val patients
called     calls.tsv: shares of the patients of a kind that are called stable, slow or fast
findings   what is found of that
records    the same as plain values
wording    and in sentences
"""
