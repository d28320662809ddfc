"""The workflow's own side: its tables, configuration, code and jobs. Nothing here imports torch.

This package alone knows Snakemake and the layout of `results/`. `door/` checks what the user gives,
`tables/` makes the user's tables of a folder tree.

paths           paths and texts that Snakemake would take for something else
job             a job's log, the remedy for a damaged file, and the end after a signal
digest          the code behind a stage
private         the folder private/, and tables that belong to it
patient_hashes  whether the headers of a patient's scans name one person
shards          what one job of a large cohort takes
dry_run         what a run would do, and how long
preflight       what a run needs besides its tables
estimate        what a first run costs
disk_use        what every stage takes
terminal        who tells a run on the terminal
ending          the last lines of a run
"""
