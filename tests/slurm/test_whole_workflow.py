"""The whole workflow as a cluster user runs it, with the 3D-VQ-GAN trained by two processes on two nodes."""

import re
from collections import Counter

import pandas as pd
import pytest

from helpers.running import ROOT, faulty_scans, jobs_of, snakemake, times
from slurm_profile import SNAKEMAKE, write_profile

ON_A_GPU = {"shard_latents", "shard_trajectories", "train_vqgan", "train_ode", "evaluate"}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    profile = write_profile(tmp_path_factory.mktemp("profile"), minutes=30)
    settings = [str(ROOT / "tests/tiny.yaml"), str(ROOT / "tests/slurm/two_processes.yaml")]
    return ("--profile", str(profile), "--configfile", *settings)


@pytest.fixture(scope="module")
def environment(cluster):
    sites = {"LUNG4D_CPU_PARTITION": "cpu", "LUNG4D_PROCESSES": "2", "LUNG4D_NODES": "2"}
    return cluster.environment() | sites


@pytest.fixture(scope="module")
def earlier(cluster):
    """Jobs of other tests."""
    return {job["id"] for job in cluster.jobs()}


@pytest.fixture(scope="module")
def run(environment, options, earlier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workflow")
    snakemake(*options, folder=folder, environment=environment, program=SNAKEMAKE)
    return folder


def test_every_stage_leaves_its_results_and_bad_scans_stop_nothing(run):
    results = run / "results"
    assert (results / "report/index.html").stat().st_size > 100_000
    unusable = pd.read_csv(results / "split/unusable.tsv", sep="\t", dtype=str)
    assert set(zip(unusable["subject"], unusable["session"], strict=True)) == faulty_scans(run)
    assert "training in 2 processes" in (results / "logs/train_vqgan/train_vqgan.log").read_text()
    model = (results / "train_vqgan/model.pt").stat()
    assert model.st_size > 0 and not list((results / "train_vqgan/checkpoints").glob("lock.json"))


def test_jobs_are_few_and_run_where_the_profile_says(run, cluster, earlier):
    jobs = [job for job in cluster.jobs() if job["id"] not in earlier]
    assert {job["state"] for job in jobs} == {"COMPLETED"}
    rules = [
        re.match(r"rule_([a-z]+(?:_(?:tables|scans|latents|trajectories|vqgan|ode))?)", job["comment"])[1]
        for job in jobs
    ]
    shards = {"shard_scans": 2, "shard_latents": 2, "shard_trajectories": 2}
    assert {rule: count for rule, count in Counter(rules).items() if count > 1} == shards
    for rule, job in zip(rules, jobs, strict=True):
        asked = cluster.history(job["id"])
        assert (asked["Partition"] == "a100") == (rule in ON_A_GPU), rule
        assert ("gpu" in asked.get("TresPerNode", "")) == (rule in ON_A_GPU), rule
    (training,) = (job for rule, job in zip(rules, jobs, strict=True) if rule == "train_vqgan")
    assert cluster.history(training["id"])["NumNodes"] == "2"


def test_a_second_run_submits_nothing(run, options, environment):
    before = times(run / "results")
    assert not jobs_of(snakemake(*options, folder=run, environment=environment))
    assert times(run / "results") == before


def test_preflight_asks_the_cluster(run, options, environment, cluster):
    before = cluster.jobs()
    done = snakemake("preflight", *options, folder=run, environment=environment)
    assert "Nothing will run" in done.stdout and "Nothing stands in the way." in done.stdout
    (run / "config").mkdir()
    (run / "config/config.yaml").write_text("train_ode: {lr: 0.0007}\n")
    bad = environment | {"LUNG4D_PARTITION": "a1000", "LUNG4D_CPU_PARTITION": "cpu"}
    done = snakemake("preflight", *options, folder=run, environment=bad, check=False)
    assert done.returncode != 0 and "no partition a1000; there are a100, cpu" in done.stdout
    assert "This retrains stage 2 (train_ode)" in done.stdout
    greedy = environment | {"LUNG4D_GRES": "gpu:a100:64"}
    done = snakemake("preflight", *options, folder=run, environment=greedy, check=False)
    assert done.returncode != 0 and "SLURM would not take a job with" in done.stdout
    assert cluster.jobs() == before
