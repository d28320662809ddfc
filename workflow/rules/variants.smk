# Other models, on demand: the rows of the paper's Table 1, ablations of the run's own settings, and a plain U-Net.
# Needs: results/train_vqgan, extract_latents, train_ode, resample and split. Leaves: results/table1, ablation and unet.
from lung4d.evaluate.comparisons import ABLATION, TABLE1

# The run's own `train_ode` with a row's settings.
ROWS_OF_TABLE1 = params_of_rows(TABLE1, "train_ode")
ROWS_OF_ABLATION = params_of_rows(ABLATION, "train_ode")

# What the models are scored on.
WITHHELD = {
    "split": "results/split/split.tsv",
    "vqgan": "results/train_vqgan/model.pt",
    "ode": "results/train_ode/model.pt",
}


use rule train_ode as table1_train with:
    output:
        model="results/table1/{row}/model.pt",
        history="results/table1/{row}/history.parquet",
        progress=progress_picture("results/table1/{row}/progress.png", "disease model", "row {row} of Table 1"),
        residuals="results/table1/{row}/residuals.tsv",
    log:
        "results/logs/table1/{row}.log",
    wildcard_constraints:
        row="|".join(ROWS_OF_TABLE1),
    params:
        **{key: of_row(ROWS_OF_TABLE1, key) for key in stage_params("train_ode")},
        folders=folders("segment", "resample", "extract_latents"),
        checkpoints="results/table1/{row}/checkpoints",


# snakemake table1: no part of `all`, because it trains four disease models.
rule table1:
    input:
        **WITHHELD,
        models=models_of_rows(TABLE1, "train_ode", "table1"),
    output:
        table="results/table1/table1.tsv",
        page="results/table1/table1.md",
    log:
        "results/logs/table1/table1.log",
    conda:
        "../envs/table1.yaml"
    threads: 8
    params:
        **stage_params("table1", **config["evaluate"]),
        folders=folders("resample", "extract_latents"),
    script:
        "../scripts/table1.py"


use rule train_ode as ablation_train with:
    output:
        model="results/ablation/{row}/model.pt",
        history="results/ablation/{row}/history.parquet",
        progress=progress_picture("results/ablation/{row}/progress.png", "disease model", "row {row} of the ablation"),
        residuals="results/ablation/{row}/residuals.tsv",
    log:
        "results/logs/ablation/{row}.log",
    wildcard_constraints:
        row="|".join(ROWS_OF_ABLATION),
    params:
        **{key: of_row(ROWS_OF_ABLATION, key) for key in stage_params("train_ode")},
        folders=folders("segment", "resample", "extract_latents"),
        checkpoints="results/ablation/{row}/checkpoints",


# snakemake ablation: no part of `all`, because it trains ten disease models.
rule ablation:
    input:
        **WITHHELD,
        models=models_of_rows(ABLATION, "train_ode", "ablation"),
    output:
        table="results/ablation/ablation.tsv",
        page="results/ablation/ablation.md",
    log:
        "results/logs/ablation/ablation.log",
    conda:
        "../envs/ablation.yaml"
    threads: 8
    params:
        **stage_params("ablation", **config["evaluate"]),
        folders=folders("resample", "extract_latents", *if_simulated(["simulate"])),
    script:
        "../scripts/ablation.py"


# A rival of another kind: one U-Net that is told the years, with the disease model's settings of training.
rule train_unet:
    input:
        split="results/split/split.tsv",
        vqgan="results/train_vqgan/model.pt",
        latents=LATENTS,
    output:
        model="results/unet/model.pt",
        history="results/unet/history.parquet",
        progress=progress_picture("results/unet/progress.png", "U-Net", "told the years"),
    log:
        "results/logs/unet/train_unet.log",
    conda:
        "../envs/train_unet.yaml"
    threads: 8
    params:
        **stage_params("train_unet", **config["train_ode"]),
        folders=folders("resample", "extract_latents"),
        checkpoints="results/unet/checkpoints",
    script:
        "../scripts/train_unet.py"


# snakemake unet: no part of `all`, because it trains another network.
rule unet:
    input:
        **WITHHELD,
        unet="results/unet/model.pt",
    output:
        forecast="results/unet/forecast.tsv",
        table="results/unet/unet.tsv",
        page="results/unet/unet.md",
    log:
        "results/logs/unet/unet.log",
    conda:
        "../envs/unet.yaml"
    threads: 8
    params:
        **stage_params("unet", **config["evaluate"]),
        folders=folders("resample", "extract_latents", *if_simulated(["simulate"])),
    script:
        "../scripts/unet.py"
