# From CT in HU to volumes on one grid, aligned to each patient's baseline.
# Needs: results/convert. Leaves: results/segment, register, resample (one set of files per scan), results/split.
# Steps: segment the lungs; take each patient's first usable visit for the baseline; register every follow-up to it;
# resample the original once, through the field; look for copies, and split the patients that have usable scans.


rule segment:
    input:
        ct="results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz",
        status="results/convert/sub-{subject}/sub-{subject}_ses-{session}_status.json",
        mask=scan_mask,
        weights=weights_file("segment", "weights", method="lungmask"),
    output:
        mask="results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz",
        status="results/segment/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    log:
        "results/logs/segment/sub-{subject}/sub-{subject}_ses-{session}.log",
    conda:
        "../envs/segment.yaml"
    params:
        **stage_params("segment"),
    script:
        "../scripts/segment.py"


# The baseline is the first visit up to this one that can be used, which the script finds out: a checkpoint would hide
# every job after it from a dry run.
rule register:
    input:
        ct="results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz",
        mask="results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz",
        facts="results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.json",
        statuses=segmented_until,
        first_ct=of_first("results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz"),
        first_mask=of_first("results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
    output:
        warped="results/register/sub-{subject}/sub-{subject}_ses-{session}_space-baseline_ct.nii.gz",
        field="results/register/sub-{subject}/sub-{subject}_ses-{session}_from-baseline_to-native_xfm.nii.gz",
        inverse="results/register/sub-{subject}/sub-{subject}_ses-{session}_from-native_to-baseline_xfm.nii.gz",
        log_jacobian="results/register/sub-{subject}/sub-{subject}_ses-{session}_desc-logjacobian_map.nii.gz",
        status="results/register/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    log:
        "results/logs/register/sub-{subject}/sub-{subject}_ses-{session}.log",
    conda:
        "../envs/register.yaml"
    params:
        **stage_params("register"),
        sessions=visits_until,
        folders=folders("convert", "segment"),
    script:
        "../scripts/register.py"


rule resample:
    input:
        ct="results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz",
        field="results/register/sub-{subject}/sub-{subject}_ses-{session}_from-baseline_to-native_xfm.nii.gz",
        log_jacobian="results/register/sub-{subject}/sub-{subject}_ses-{session}_desc-logjacobian_map.nii.gz",
        own_mask="results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz",
        status="results/register/sub-{subject}/sub-{subject}_ses-{session}_status.json",
        first_ct=of_first("results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz"),
        first_mask=of_first("results/segment/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz"),
    output:
        volume="results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii",
        mask="results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-lung_mask.nii.gz",
        expansion="results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-logjacobian_map.nii.gz",
        status="results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    log:
        "results/logs/resample/sub-{subject}/sub-{subject}_ses-{session}.log",
    conda:
        "../envs/resample.yaml"
    params:
        **stage_params("resample"),
        folders=folders("convert", "segment"),
    script:
        "../scripts/resample.py"


rule split:
    input:
        SCANS,
    output:
        split="results/split/split.tsv",
        unusable="results/split/unusable.tsv",
        copies="results/split/copies.tsv",
    log:
        "results/logs/split/split.log",
    conda:
        "../envs/split.yaml"
    params:
        **stage_params("split"),
        scans=scan_records(),
        folders=folders("convert", "resample"),
        assigned=assigned_splits(),
        sites=participant_sites(),
    script:
        "../scripts/split.py"
