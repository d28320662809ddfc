# A closer look at the autoencoder: its codes one by one, and on demand the rows of the paper's Table 3.
# Needs: results/train_vqgan, extract_latents, resample and split. Leaves: results/codebook, results/table3.
from lung4d.evaluate.comparisons import TABLE3


rule codebook:
    input:
        model="results/train_vqgan/model.pt",
        split="results/split/split.tsv",
        latents=LATENTS,
    output:
        table="results/codebook/codebook.tsv",
        exemplars="results/codebook/exemplars.tsv",
        decoded_picture=report(
            "results/codebook/decoded.png",
            caption="../report/codes_decoded.rst",
            category="Codebook",
            labels={"picture": "each code decoded"},
        ),
        exemplar_picture=report(
            "results/codebook/exemplars.png",
            caption="../report/code_exemplars.rst",
            category="Codebook",
            labels={"picture": "real patches of each code"},
        ),
    log:
        "results/logs/codebook/codebook.log",
    conda:
        "../envs/codebook.yaml"
    threads: 4
    params:
        **stage_params("codebook"),
        folders=folders("resample", "extract_latents"),
    script:
        "../scripts/codebook.py"


# The rows of Table 3: the run's own `train_vqgan` with a row's settings. The row that has the run's own settings
# is the run's own model.
ROWS_OF_TABLE3 = params_of_rows(TABLE3, "train_vqgan")
if "table3" in sys.argv:
    check_rows_of_table3()


use rule train_vqgan as table3_train with:
    output:
        model="results/table3/{row}/model.pt",
        history="results/table3/{row}/history.parquet",
        progress=progress_picture("results/table3/{row}/progress.png", "3D-VQ-GAN", "row {row} of Table 3"),
    log:
        "results/logs/table3/{row}.log",
    wildcard_constraints:
        row="|".join(ROWS_OF_TABLE3),
    params:
        **{key: of_row(ROWS_OF_TABLE3, key) for key in stage_params("train_vqgan")},
        folders=folders("resample"),
        checkpoints="results/table3/{row}/checkpoints",


# snakemake table3: no part of `all`, because it trains four or five autoencoders.
rule table3:
    input:
        split="results/split/split.tsv",
        models=models_of_rows(TABLE3, "train_vqgan", "table3"),
    output:
        table="results/table3/table3.tsv",
        page="results/table3/table3.md",
    log:
        "results/logs/table3/table3.log",
    conda:
        "../envs/table3.yaml"
    threads: 8
    params:
        **stage_params("table3"),
        folders=folders("resample"),
    script:
        "../scripts/table3.py"
