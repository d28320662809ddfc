# From a tree of a hospital's files to the tables: `snakemake --directory FOLDER --config tree=/path/to/tree -- tables`.
# Needs: a folder of DICOM or volume files. Leaves: config/scans.tsv, config/participants.tsv, private/.
# None of them is an output: Snakemake takes outputs away before a job and after one that failed. The tree is no input
# and no parameter, because Snakemake's log names those. Not in a module:, whose folder has tables of its own.
if workflow.modifier.is_main_snakefile():

    rule tables:
        log:
            "results/logs/tables.log",
        localrule: True
        conda:
            "../envs/convert.yaml"
        threads: 2
        script:
            "../scripts/tables.py"
