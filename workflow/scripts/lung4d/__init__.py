"""Lung CT at any time point: the library behind the workflow's scripts.

All logic lives here, on arrays, tensors and tables. Nothing in it knows Snakemake or the layout of `results/`.
"""

__version__ = "0.3.0"
