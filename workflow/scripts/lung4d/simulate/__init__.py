"""The built-in cohort: simulated chest CT of pulmonary fibrosis, with its truth.

`cohort` makes the tables (no image library is imported); `patient` makes one patient's images from them, in a
procedural thorax (`anatomy`, `trees`) or in that of a CT (`real_chest`).
"""
