# What people look at: one quality table over all scans, and the report.
# Needs: everything before. Leaves: results/qc, results/report/index.html, results/README.md (a map of the folder).
# And `preflight`, which says what a run would do.


rule qc:
    input:
        SCANS,
        copies="results/split/copies.tsv",
    output:
        table="results/qc/qc.tsv",
    log:
        "results/logs/qc/qc.log",
    conda:
        "../envs/qc.yaml"
    params:
        **stage_params("qc"),
        scans=scan_records(),
        folders=folders("convert", "segment", "register", "resample"),
    script:
        "../scripts/qc.py"


# snakemake preflight: before a long run. Looks at everything, changes nothing. Not in a module:, whose rules
# may have other names than those it knows.
if workflow.modifier.is_main_snakefile():

    rule preflight:
        log:
            "results/logs/preflight.log",
        localrule: True
        conda:
            "../envs/snakemake.yaml"
        container:
            None
        params:
            arguments=as_it_is(sys.argv[1:]),
            started_in=as_it_is(str(workflow.rundir)),
            config=config,
            patients=len(SUBJECTS),
            scans=len(COHORT.scans),
            notices=as_it_is(list(COHORT.notices)),
            cores=workflow.resource_settings.cores,
            visits={subject: len(COHORT.sessions(subject)) for subject in SUBJECTS},
            participants=participant_records(),
            assigned=assigned_splits(),
            sources=as_it_is([] if SIMULATED else list(COHORT.scans["path"])),
        script:
            "../scripts/preflight.py"


rule report:
    input:
        **TRUTH_SCORES,
        qc="results/qc/qc.tsv",
        split="results/split/split.tsv",
        unusable="results/split/unusable.tsv",
        vqgan_history="results/train_vqgan/history.parquet",
        ode_history="results/train_ode/history.parquet",
        forecast_summary="results/evaluate/summary.tsv",
        change="results/evaluate/change.tsv",
        coverage="results/evaluate/coverage.tsv",
        calls="results/evaluate/calls.tsv",
        volume="results/evaluate/volume.tsv",
        evaluate_words="results/evaluate/summary.json",
        codebook="results/codebook/codebook.tsv",
        codes_decoded="results/codebook/decoded.png",
        code_exemplars="results/codebook/exemplars.png",
        readouts="results/biomarkers/readouts.tsv",
        cindex="results/survival/cindex.tsv",
        selection="results/survival/selection.tsv",
        kaplan_meier="results/survival/kaplan_meier.tsv",
        survival_words="results/survival/summary.json",
    output:
        index="results/report/index.html",
        map="results/README.md",
    log:
        "results/logs/report/report.log",
    conda:
        "../envs/report.yaml"
    params:
        **stage_params("report"),
        folders=folders("convert", "segment", "register", "resample", "extract_latents", "generate_trajectories"),
        config=config,
        simulated=SIMULATED,
        participants=participant_records(),
        excluded=excluded_records(),
        notices=list(COHORT.notices),
    script:
        "../scripts/report.py"
