"""What `snakemake --profile profiles/slurm` would ask of a cluster, read off a dry run."""

import re

import pytest
from snakemake.profiles import ProfileConfigFileParser

from helpers.running import ROOT, snakemake

GPU_RULES = {
    "train_vqgan",
    "train_ode",
    "extract_latents",
    "generate_trajectories",
    "evaluate",
    "table3",
    "table3_train",
    "table1",
    "table1_train",
    "ablation",
    "ablation_train",
    "unet",
    "train_unet",
    "shard_latents",
    "shard_trajectories",
}
PER_SCAN = {"convert", "segment", "register", "resample", "extract_latents", "generate_trajectories"}
SHARDS = {"shard_scans", "shard_latents", "shard_trajectories"}  # fmt: skip


def dry_run(tmp_path, monkeypatch, *words, **environment):
    for name in (
        "LUNG4D_PARTITION",
        "LUNG4D_CPU_PARTITION",
        "LUNG4D_ACCOUNT",
        "LUNG4D_GRES",
        "LUNG4D_TRAIN_GRES",
        "LUNG4D_PROCESSES",
        "LUNG4D_NODES",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = snakemake(
        "--profile",
        str(ROOT / "profiles/slurm"),
        "--configfile",
        str(ROOT / "tests/tiny.yaml"),
        *words,
        "--dry-run",
        "--",
        "all",
        "table3",
        "table1",
        "ablation",
        "unet",
        folder=tmp_path,
    )
    text = done.stdout + done.stderr
    jobs = re.findall(r"^(?:local)?rule (\w+):\n(.*?)^\s*$", text + "\n\n", re.M | re.S)
    resources = {}
    for rule, body in jobs:
        line = re.search(r"resources: (.*)", body)
        resources[rule] = dict(part.split("=", 1) for part in line.group(1).split(", ")) if line else {}
    return resources


@pytest.mark.parametrize(
    ("environment", "gpu", "cpu", "gres"),
    [
        ({}, "a100", "a100", "gpu:a100:1"),
        ({"LUNG4D_PARTITION": "big"}, "big", "big", "gpu:a100:1"),
        ({"LUNG4D_CPU_PARTITION": "small", "LUNG4D_GRES": "gpu:1"}, "a100", "small", "gpu:1"),
    ],
)
def test_partition_and_gpu_of_every_rule(tmp_path, monkeypatch, environment, gpu, cpu, gres):
    small_steps = (SHARDS, ()) if "LUNG4D_PARTITION" in environment else (PER_SCAN, ("--config", "shard=0"))
    resources = dry_run(tmp_path, monkeypatch, *small_steps[1], **environment)
    assert len(resources) > 14 and set(resources) & (SHARDS | PER_SCAN) == small_steps[0]
    for rule, asked in resources.items():
        if rule in ("all", "scans", "models"):
            continue
        assert asked["slurm_partition"] == (gpu if rule in GPU_RULES else cpu), rule
        assert asked.get("gres") == (gres if rule in GPU_RULES else None), rule
        assert "gpu" not in asked
    for rule in ("train_vqgan", "train_ode", "table3_train", "table1_train", "ablation_train", "train_unet"):
        assert asked_signal(resources[rule]) == "--signal=TERM@300"


def test_several_gpus_are_asked_for_by_the_training_alone(tmp_path, monkeypatch):
    shares = ("--config", "shard=8", "train_vqgan={accumulation: 8}")
    sites = {"LUNG4D_TRAIN_GRES": "gpu:a100:4", "LUNG4D_PROCESSES": "8", "LUNG4D_NODES": "2"}
    resources = dry_run(tmp_path, monkeypatch, *shares, **sites)
    for rule in ("train_vqgan", "table3_train"):
        assert resources[rule]["gres"] == "gpu:a100:4" and resources[rule]["processes"] == "8"
        assert resources[rule]["nodes"] == "2"
    assert resources["train_ode"]["gres"] == "gpu:a100:1" and resources["train_ode"]["processes"] == "1"


def asked_signal(asked):
    return asked["slurm_extra"].strip("'\"")


def test_the_workflow_profile_holds_nothing_that_a_site_decides():
    text = (ROOT / "profiles/default/config.yaml").read_text()
    keys = {line.split(":")[0] for line in text.splitlines() if re.match(r"[a-z-]+:", line)}
    assert keys == {"rerun-incomplete", "rerun-triggers"}


GPU = {
    "slurm_partition": "__import__('os').environ.get('LUNG4D_PARTITION', 'a100')",
    "gres": "__import__('os').environ.get('LUNG4D_GRES', 'gpu:a100:1')",
}
SEVERAL_GPUS = {
    **GPU,
    "gres": f"__import__('os').environ.get('LUNG4D_TRAIN_GRES') or {GPU['gres']}",
    "processes": "int(__import__('os').environ.get('LUNG4D_PROCESSES', 1))",
    "nodes": "int(__import__('os').environ.get('LUNG4D_NODES', 1))",
}
LARGE = "64000 if attempt == 1 else 96000"
# Every rule's block: what it shares with others, minutes, MB, and the seconds of warning.
BLOCKS = {
    "shard_scans": ({}, 480, "64000 if attempt == 1 else 128000", 120),
    "shard_latents": (GPU, 120, "16000 * attempt", 120),
    "shard_trajectories": (GPU, 480, "32000 * attempt", 120),
    "register": ({}, None, "16000 * attempt", None),
    "train_vqgan": (SEVERAL_GPUS, 2880, LARGE, 300),
    "table3_train": (SEVERAL_GPUS, 2880, LARGE, 300),
    "train_ode": (GPU, 1440, LARGE, 300),
    "table1_train": (GPU, 1440, LARGE, 300),
    "ablation_train": (GPU, 1440, LARGE, 300),
    "train_unet": (GPU, 1440, LARGE, 300),
    "extract_latents": (GPU, None, "16000 * attempt", None),
    "generate_trajectories": (GPU, None, "32000 * attempt", None),
    "evaluate": (GPU, 480, "32000 * attempt", None),
    "table1": (GPU, 480, "32000 * attempt", None),
    "ablation": (GPU, 480, "32000 * attempt", None),
    "unet": (GPU, 480, "32000 * attempt", None),
    "table3": (GPU, 240, "16000 * attempt", None),
}


def test_snakemake_reads_every_block_of_the_slurm_profile_in_full():
    with (ROOT / "profiles/slurm/config.yaml").open() as profile:
        read = ProfileConfigFileParser().parse(profile)["set-resources"]
    expected = []
    for rule, (shared, minutes, memory, warning) in BLOCKS.items():
        block = {**shared, "runtime": minutes, "mem_mb": memory}
        block["slurm_extra"] = warning and f"'--signal=TERM@{warning}'"
        expected += [f"{rule}:{name}={value}" for name, value in block.items() if value is not None]
    assert sorted(read) == sorted(expected)
    assert {rule for rule, (shared, *_) in BLOCKS.items() if shared} == GPU_RULES


def test_snakemake_looks_for_work_when_a_job_is_done_and_not_each_second(tmp_path):
    wanted = [f"results/simulate/truth/sub-{subject}" for subject in ("001", "002")]
    tiny = str(ROOT / "tests/tiny.yaml")
    done = snakemake("--cores", "1", "--configfile", tiny, "--verbose", *wanted, folder=tmp_path)
    assert len(re.findall(r"^Ready jobs: ", done.stdout + done.stderr, re.M)) <= 4
