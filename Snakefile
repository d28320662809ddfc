# Lung CT at any time point from a patient's few scans. Start with README.md; config/README.md explains every key.
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"


# For --sdm apptainer alone: every stage's packages in one image, built by hand from workflow/envs/lung4d.def.
container: str(ROOT / "workflow" / "envs" / "lung4d.sif")


include: "workflow/rules/inputs.smk"
include: "workflow/rules/scans.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/autoencoder.smk"
include: "workflow/rules/variants.smk"
include: "workflow/rules/outcomes.smk"
include: "workflow/rules/pages.smk"
include: "workflow/rules/shards.smk"


wildcard_constraints:
    subject="[A-Za-z0-9]+",
    session="[A-Za-z0-9]+",
    shard=r"\d+-of-\d+",


localrules:
    all,
    scans,
    models,
    preflight,


rule all:
    default_target: True
    input:
        "results/report/index.html",
        if_simulated(["results/simulate/scans.tsv"]),


onstart:
    check_preflight_alone()
    check_results_writable()


onsuccess:
    if "preflight" not in sys.argv:
        print_disk_use()


# Stops after resampling: every scan segmented, registered and on the grid, with its quality numbers.
rule scans:
    input:
        "results/split/split.tsv",
        "results/qc/qc.tsv",


# Stops after both trainings.
rule models:
    input:
        "results/train_vqgan/model.pt",
        "results/train_ode/model.pt",
