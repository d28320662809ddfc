# A closer look at the autoencoder: its codes one by one.
# Needs: results/train_vqgan, extract_latents, resample and split. Leaves: results/codebook.


rule codebook:
    input:
        model="results/train_vqgan/model.pt",
        split="results/split/split.tsv",
        latents=expand("results/extract_latents/sub-{subject}", subject=SUBJECTS),
        volumes=per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_desc-preproc_ct.nii"),
    output:
        table="results/codebook/codebook.tsv",
        exemplars="results/codebook/exemplars.tsv",
        decoded_picture="results/codebook/decoded.png",
        exemplar_picture="results/codebook/exemplars.png",
    log:
        "results/logs/codebook/codebook.log",
    conda:
        "../envs/codebook.yaml"
    threads: 4
    params:
        **stage_params("codebook"),
    script:
        "../scripts/codebook.py"
