# What the volumes are worth: scored on visits withheld from the model, and on survival.
# Needs: the models, results/resample, and the participants' outcomes where there are any.
# Leaves: results/evaluate, results/biomarkers, results/survival. Too few patients or events is a result in words.


rule evaluate:
    input:
        split="results/split/split.tsv",
        vqgan="results/train_vqgan/model.pt",
        ode="results/train_ode/model.pt",
        forecasts=forecast_files(),
    output:
        **TRUTH_SCORES,
        reconstruction="results/evaluate/reconstruction.tsv",
        forecast="results/evaluate/forecast.tsv",
        summary="results/evaluate/summary.tsv",
        differences="results/evaluate/differences.tsv",
        change="results/evaluate/change.tsv",
        coverage="results/evaluate/coverage.tsv",
        calls="results/evaluate/calls.tsv",
        volume="results/evaluate/volume.tsv",
        words="results/evaluate/summary.json",
        codes="results/evaluate/codes.tsv",
    log:
        "results/logs/evaluate/evaluate.log",
    conda:
        "../envs/evaluate.yaml"
    threads: 8
    params:
        **stage_params("evaluate"),
        folders=folders("segment", "register", "resample", "extract_latents", *if_simulated(["simulate"])),
    script:
        "../scripts/evaluate.py"


rule biomarkers:
    input:
        split="results/split/split.tsv",
        generated=GENERATED,
    output:
        table="results/biomarkers/biomarkers.tsv",
        readouts="results/biomarkers/readouts.tsv",
    log:
        "results/logs/biomarkers/biomarkers.log",
    conda:
        "../envs/biomarkers.yaml"
    params:
        **stage_params("biomarkers"),
        folders=folders("segment", "register", "resample", "extract_latents", "generate_trajectories"),
    script:
        "../scripts/biomarkers.py"


rule survival:
    input:
        biomarkers="results/biomarkers/biomarkers.tsv",
        split="results/split/split.tsv",
    output:
        cindex="results/survival/cindex.tsv",
        selection="results/survival/selection.tsv",
        risk="results/survival/risk.tsv",
        kaplan_meier="results/survival/kaplan_meier.tsv",
        summary="results/survival/summary.json",
    log:
        "results/logs/survival/survival.log",
    conda:
        "../envs/survival.yaml"
    params:
        **stage_params("survival"),
        participants=participant_records(),
    script:
        "../scripts/survival.py"
