# Lung CT at any time point from a patient's few scans. Start with README.md; config/README.md explains every key.
# The workflow itself is in workflow/; called from here, Snakemake finds profiles/default as well.
include: "workflow/Snakefile"


workflow.default_target = "all"  # which an include does not hand on
