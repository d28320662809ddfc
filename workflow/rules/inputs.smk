# From the hospital's files, or from the built-in cohort, to one NIfTI in HU per scan.
# Needs: config/scans.tsv and the files it names, or `cohort: simulated`.
# Leaves: results/convert/sub-*/ with a CT, a sidecar without identifiers and a status per scan.


rule simulate_tables:
    output:
        scans="results/simulate/scans.tsv",
        participants="results/simulate/participants.tsv",
        outcomes="results/simulate/truth/outcomes.tsv",
    log:
        "results/logs/simulate/tables.log",
    conda:
        "../envs/simulate.yaml"
    params:
        settings=simulation(),
        code=DIGESTS.of("simulate_tables"),
    script:
        "../scripts/simulate_tables.py"


rule simulate:
    input:
        chest_files,
    output:
        images=directory("results/simulate/sub-{subject}"),
        truth=directory("results/simulate/truth/sub-{subject}"),
    log:
        "results/logs/simulate/sub-{subject}.log",
    conda:
        "../envs/simulate.yaml"
    params:
        settings=simulation(),
        code=DIGESTS.of("simulate"),
    script:
        "../scripts/simulate.py"


rule convert:
    input:
        source=scan_source,
    output:
        ct="results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.nii.gz",
        sidecar="results/convert/sub-{subject}/sub-{subject}_ses-{session}_ct.json",
        status="results/convert/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    log:
        "results/logs/convert/sub-{subject}/sub-{subject}_ses-{session}.log",
    conda:
        "../envs/convert.yaml"
    params:
        **stage_params("convert"),
        path=scan_path,
        series=scan_series,
        kernel=scan_kernel,
    script:
        "../scripts/convert.py"
