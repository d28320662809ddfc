# Many patients a job, where config.shard says how many: thousands of short jobs become tens of long ones, and this run
# need not know of single scans. Inside such a job Snakemake runs the same rules as without shards, on one machine.
# Needs: what those rules need. Leaves: their results, and results/shards/*/*.tsv with a digest of each.

SCAN_RULES = [stage for stage in STAGES["shard_scans"] if SIMULATED or stage != "simulate"]


rule shard_scans:
    output:
        table="results/shards/scans/{shard}.tsv",
    log:
        "results/logs/shards/scans/{shard}.log",
    conda:
        "../envs/snakemake.yaml"
    container:
        None
    threads: 8
    resources:
        software=SOFTWARE,
        apptainer_args=APPTAINER_ARGS,
    params:
        rules=SCAN_RULES,
        targets=of_shard("results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json"),
        config=sections(SCAN_RULES),
        sources=shard_sources,
        code=codes_of(SCAN_RULES),
        alone=False,
    script:
        "../scripts/shard.py"


use rule shard_scans as shard_latents with:
    input:
        model="results/train_vqgan/model.pt",
        split="results/split/split.tsv",
    output:
        table="results/shards/latents/{shard}.tsv",
    log:
        "results/logs/shards/latents/{shard}.log",
    threads: 4
    params:
        rules=STAGES["shard_latents"],
        targets=of_shard("results/extract_latents/sub-{subject}"),
        config=sections(STAGES["shard_latents"]),
        code=codes_of(STAGES["shard_latents"]),
        alone=True,


use rule shard_scans as shard_trajectories with:
    input:
        vqgan="results/train_vqgan/model.pt",
        ode="results/train_ode/model.pt",
        split="results/split/split.tsv",
        latents="results/shards/latents/{shard}.tsv",
    output:
        table="results/shards/trajectories/{shard}.tsv",
    log:
        "results/logs/shards/trajectories/{shard}.log",
    threads: 4
    params:
        rules=STAGES["shard_trajectories"],
        targets=of_shard("results/generate_trajectories/sub-{subject}"),
        config=sections(STAGES["shard_trajectories"]),
        code=codes_of(STAGES["shard_trajectories"]),
        alone=True,
