# What people look at: one quality table over all scans, and the report.
# Needs: everything before. Leaves: results/qc, results/report/index.html, results/README.md (a map of the folder).


rule qc:
    input:
        statuses=[
            *per_scan("results/convert/sub-{subject}/sub-{subject}_ses-{session}_status.json"),
            *per_scan("results/segment/sub-{subject}/sub-{subject}_ses-{session}_status.json"),
            *per_scan("results/register/sub-{subject}/sub-{subject}_ses-{session}_status.json"),
            *per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json"),
        ],
    output:
        table="results/qc/qc.tsv",
    log:
        "results/logs/qc/qc.log",
    conda:
        "../envs/qc.yaml"
    params:
        **stage_params("qc"),
        scans=scan_records(),
    script:
        "../scripts/qc.py"


rule report:
    input:
        **TRUTH_SCORES,
        qc="results/qc/qc.tsv",
        split="results/split/split.tsv",
        unusable="results/split/unusable.tsv",
        vqgan_history="results/train_vqgan/history.parquet",
        ode_history="results/train_ode/history.parquet",
        reconstruction="results/evaluate/reconstruction.tsv",
        forecast="results/evaluate/forecast.tsv",
        forecast_summary="results/evaluate/summary.tsv",
        coverage="results/evaluate/coverage.tsv",
        evaluate_words="results/evaluate/summary.json",
        codes="results/evaluate/codes.tsv",
        codebook="results/codebook/codebook.tsv",
        codes_decoded="results/codebook/decoded.png",
        code_exemplars="results/codebook/exemplars.png",
        readouts="results/biomarkers/readouts.tsv",
        cindex="results/survival/cindex.tsv",
        selection="results/survival/selection.tsv",
        risk="results/survival/risk.tsv",
        kaplan_meier="results/survival/kaplan_meier.tsv",
        survival_words="results/survival/summary.json",
        cts=per_scan("results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz"),
        lung_masks=per_scan("results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
        warped=per_scan("results/register/sub-{subject}/sub-{subject}_ses-{session}_space-baseline_ct.nii.gz"),
        volumes=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii"),
        masks=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
        latents=expand("results/extract_latents/sub-{subject}", subject=SUBJECTS),
        generated=expand("results/generate_trajectories/sub-{subject}", subject=SUBJECTS),
    output:
        index="results/report/index.html",
        map="results/README.md",
    log:
        "results/logs/report/report.log",
    conda:
        "../envs/report.yaml"
    params:
        **stage_params("report"),
        config=config,
        simulated=SIMULATED,
        participants=participant_records(),
        excluded=excluded_records(),
    script:
        "../scripts/report.py"
