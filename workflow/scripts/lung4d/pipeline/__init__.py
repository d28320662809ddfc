"""The workflow's own side: its tables, configuration, code and jobs. Nothing here imports torch.

This package alone knows Snakemake and the layout of `results/`.

cohort         the user's tables, checked at the door
configuration  defaults overlaid by what the user says
job            a job's log, and the remedy for a damaged file
digest         the code behind a stage
shards         what one job of a large cohort takes
dry_run        what a run would do, and how long
preflight      what a run needs besides its tables
disk_use       what every stage takes
"""
