# What the volumes are worth: scored on visits withheld from the model, and on survival.
# Needs: the models, results/resample, and the participants' outcomes where there are any.
# Leaves: results/evaluate, results/biomarkers, results/survival. Too few patients or events is a result in words.


rule evaluate:
    input:
        split="results/split/split.tsv",
        vqgan="results/train_vqgan/model.pt",
        ode="results/train_ode/model.pt",
        latents=expand("results/extract_latents/sub-{subject}", subject=SUBJECTS),
        volumes=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii"),
        masks=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
        truth=if_simulated(expand("results/simulate/truth/sub-{subject}", subject=SUBJECTS)),
        segment_masks=if_simulated(
            per_scan("results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz")
        ),
        fields=if_simulated(
            per_scan("results/register/sub-{subject}/sub-{subject}_ses-{session}_from-baseline_to-native_xfm.nii.gz")
        ),
    output:
        **TRUTH_SCORES,
        reconstruction="results/evaluate/reconstruction.tsv",
        forecast="results/evaluate/forecast.tsv",
        summary="results/evaluate/summary.tsv",
        differences="results/evaluate/differences.tsv",
        coverage="results/evaluate/coverage.tsv",
        words="results/evaluate/summary.json",
        codes="results/evaluate/codes.tsv",
    log:
        "results/logs/evaluate/evaluate.log",
    conda:
        "../envs/evaluate.yaml"
    threads: 8
    params:
        **stage_params("evaluate"),
    script:
        "../scripts/evaluate.py"


rule biomarkers:
    input:
        split="results/split/split.tsv",
        latents=expand("results/extract_latents/sub-{subject}", subject=SUBJECTS),
        generated=expand("results/generate_trajectories/sub-{subject}", subject=SUBJECTS),
        volumes=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii"),
        masks=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
        lungs=per_scan("results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
    output:
        table="results/biomarkers/biomarkers.tsv",
        readouts="results/biomarkers/readouts.tsv",
    log:
        "results/logs/biomarkers/biomarkers.log",
    conda:
        "../envs/biomarkers.yaml"
    params:
        **stage_params("biomarkers"),
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
