# Many patients a job, where config.shard says how many: thousands of short jobs become tens of long ones, and this run
# need not know of single scans. Inside such a job Snakemake runs the same rules as without shards, on one machine.
# Needs: what those rules need. Leaves: their results, and results/shards/*/*.tsv with a digest of each.


# The config sections that jobs of these rules depend on.
def sections(rules):
    names = ["cohort", "simulate", "shard", *rules]
    return {name: config[name] for name in names if name in config}


def of_shard(pattern):
    """Parameter function: `pattern` for every patient of the shard, or for every scan where it says a session."""

    def files(wildcards):
        subjects = SHARDS[wildcards.shard]
        return per_scan(pattern, subjects) if "{session}" in pattern else expand(pattern, subject=subjects)

    return files


def shard_sources(wildcards):
    """A digest of the shard's rows of the tables, and of the times of the user's files and folders that they name.

    As inputs of the rule tens of thousands of files would take Snakemake longer than all the rest.
    """
    scans = [scan for subject in SHARDS[wildcards.shard] for scan in COHORT.scans_of(subject)]
    real = config["simulate"]["real_anatomy"]
    named = [*real["scans"], *real["masks"]] if SIMULATED else [s[key] for s in scans for key in ("path", "mask")]
    times = {path: os.stat(path).st_mtime_ns for path in named if path and os.path.exists(path)}
    return settings_digest({"scans": scans, "times": times})


SCAN_RULES = [*if_simulated(["simulate"]), "convert", "segment", "register", "resample"]


rule shard_scans:
    output:
        table="results/shards/scans/{shard}.tsv",
    log:
        "results/logs/shards/scans/{shard}.log",
    container:
        None
    threads: 8
    resources:
        software=SOFTWARE,
        apptainer_args=APPTAINER_ARGS,
    params:
        snakefile=SNAKEFILE,
        rules=SCAN_RULES,
        targets=of_shard("results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json"),
        config=sections(SCAN_RULES),
        sources=shard_sources,
        code=codes_of(SCAN_RULES),
        alone=False,
    script:
        "../scripts/shard.py"


rule shard_latents:
    input:
        model="results/train_vqgan/model.pt",
        split="results/split/split.tsv",
    output:
        table="results/shards/latents/{shard}.tsv",
    log:
        "results/logs/shards/latents/{shard}.log",
    container:
        None
    threads: 4
    resources:
        software=SOFTWARE,
        apptainer_args=APPTAINER_ARGS,
    params:
        snakefile=SNAKEFILE,
        rules=["extract_latents"],
        targets=of_shard("results/extract_latents/sub-{subject}"),
        config=sections(["extract_latents"]),
        code=codes_of(["extract_latents"]),
        alone=True,
    script:
        "../scripts/shard.py"


rule shard_trajectories:
    input:
        vqgan="results/train_vqgan/model.pt",
        ode="results/train_ode/model.pt",
        split="results/split/split.tsv",
        latents="results/shards/latents/{shard}.tsv",
    output:
        table="results/shards/trajectories/{shard}.tsv",
    log:
        "results/logs/shards/trajectories/{shard}.log",
    container:
        None
    threads: 4
    resources:
        software=SOFTWARE,
        apptainer_args=APPTAINER_ARGS,
    params:
        snakefile=SNAKEFILE,
        rules=["generate_trajectories"],
        targets=of_shard("results/generate_trajectories/sub-{subject}"),
        config=sections(["generate_trajectories"]),
        code=codes_of(["generate_trajectories"]),
        alone=True,
    script:
        "../scripts/shard.py"
