"""The test cluster itself: known answers of a real SLURM, and of Snakemake's way to it."""

import os
import sys

import psutil
import pytest

from cluster import Cluster, missing
from helpers.running import ROOT, snakemake
from slurm_profile import SNAKEMAKE, write_profile


def started(cluster, *jobs):
    cluster.wait_for(lambda: {cluster.state(job) for job in jobs} == {"RUNNING"})


def test_what_a_cluster_lacks_is_said_in_words(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("socket.getaddrinfo", lambda *_: [(None, None, None, None, ("192.0.2.1", 0))])
        assert os.geteuid() != 0 or "must stand for 127.0.0.1" in missing()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "need root" in missing()


def test_both_partitions_run_a_job(cluster):
    jobs = {name: cluster.submit("echo $SLURM_JOB_PARTITION", f"--partition={name}") for name in ("cpu", "a100")}
    assert {cluster.wait_for_end(job) for job in jobs.values()} == {"COMPLETED"}
    assert {name: cluster.printed(job).strip() for name, job in jobs.items()} == {"cpu": "cpu", "a100": "a100"}
    ended = {job["id"]: (job["state"], job["node"][:3]) for job in cluster.jobs()}
    assert ended.items() >= {(jobs["cpu"], ("COMPLETED", "cpu")), (jobs["a100"], ("COMPLETED", "gpu"))}


def test_two_jobs_have_a_gpu_each_and_a_third_waits(cluster):
    gpu = ("--partition=a100", "--nodelist=gpu1", "--gres=gpu:a100:1")
    first, second = (cluster.submit("echo $CUDA_VISIBLE_DEVICES; sleep 1000", *gpu) for _ in range(2))
    started(cluster, first, second)
    third = cluster.submit("echo $CUDA_VISIBLE_DEVICES", *gpu)
    cluster.wait_for(lambda: cluster.history(third)["Reason"] == "Resources")
    cluster.wait_for(lambda: cluster.printed(first) and cluster.printed(second))
    freed, kept = (cluster.printed(job).strip() for job in (first, second))
    assert {freed, kept} == {"0", "1"}
    cluster.scancel(first)
    assert cluster.wait_for_end(third) == "COMPLETED"
    assert cluster.state(first) == "CANCELLED"
    assert cluster.printed(third).strip() == freed
    cluster.scancel(second)


def test_a_drained_node_keeps_its_job_and_takes_no_other(cluster):
    running = cluster.submit("sleep 1000")
    started(cluster, running)
    with cluster.drained("cpu1"):
        waiting = cluster.submit("true")
        cluster.wait_for(lambda: cluster.waits_for_a_node(waiting))
        assert cluster.state(running) == "RUNNING"
    assert cluster.wait_for_end(waiting) == "COMPLETED"
    cluster.scancel(running)


@pytest.mark.parametrize("event", ["requeue", "fail"])
def test_a_requeued_job_and_one_whose_node_fails_start_again(cluster, event):
    job = cluster.submit("sleep 1000")
    started(cluster, job)
    getattr(cluster, event)(job if event == "requeue" else "cpu1")
    cluster.wait_for(lambda: cluster.history(job)["Restarts"] == "1")
    started(cluster, job)
    cluster.scancel(job)


def test_a_job_over_its_memory_is_killed(cluster):
    code = "memory = b'1' * 600_000_000; __import__('time').sleep(1000)"
    job = cluster.submit(f'exec {sys.executable} -c "{code}"', "--mem=200")
    assert cluster.wait_for_end(job) == "FAILED"
    assert cluster.history(job)["ExitCode"] == "0:9"
    assert "exceeded memory limit" in cluster.printed(job)


def test_two_clusters_listen_on_loopback_alone_and_leave_nothing_behind(cluster, tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("other")) as other:
        job = other.submit("trap '' TERM; srun sleep 1000; sleep 1000", "--partition=a100", "--gres=gpu:2")
        started(other, job)
        other.wait_for(lambda: list(other.processes().values()).count("sleep") == 1)
        processes = [psutil.Process(pid) for pid in {**cluster.processes(), **other.processes()}]
        sockets = {c.laddr for process in processes for c in process.net_connections("inet") if c.status == "LISTEN"}
        assert len(sockets) >= 2 * 4 + 1  # controllers and nodes, and srun
        assert {address.ip for address in sockets} == {"127.0.0.1"}
        assert job not in {job["id"] for job in cluster.jobs()}
    assert other.processes() == {} and cluster.processes()
    gone = [process for process in processes if not process.is_running()]
    assert len(gone) == len(processes) - len(cluster.processes())


def test_snakemake_runs_the_rules_where_the_profile_says(cluster, tmp_path):
    environment = cluster.environment() | {
        "LUNG4D_CPU_PARTITION": "cpu",
        "LUNG4D_PROCESSES": "2",
        "PYTHONPATH": str(ROOT / "workflow/scripts"),
    }
    profile = write_profile(tmp_path / "profile", rules={"table3_train": {"nodes": 2}})
    known = {job["id"] for job in cluster.jobs()}
    toy = str(ROOT / "tests/slurm/toy/Snakefile")
    options = ("--snakefile", toy, "--profile", str(profile), "--retries", "0")
    snakemake("trained.txt", "summed.txt", *options, folder=tmp_path, environment=environment, program=SNAKEMAKE)
    assert (tmp_path / "registered.txt").read_text().strip() == "cpu"
    assert (tmp_path / "trained.txt").read_text().split()[0] == "a100"
    assert (tmp_path / "trained.txt").read_text().split()[1] in ("0", "1")
    assert (tmp_path / "summed.txt").read_text() == "11"  # of two processes, one on each node
    assert sorted((tmp_path / f"rank-{rank}.txt").read_text() for rank in (0, 1)) == ["gpu1", "gpu2"]
    asked = {
        job["comment"]: (job["state"], cluster.history(job["id"])["NumCPUs"], cluster.history(job["id"])["TimeLimit"])
        for job in cluster.jobs()
        if job["comment"].startswith("rule_") and job["id"] not in known
    }
    assert asked == {
        "rule_register": ("COMPLETED", "4", "00:05:00"),
        "rule_train_vqgan": ("COMPLETED", "1", "00:05:00"),
        "rule_table3_train": ("COMPLETED", "2", "00:05:00"),
    }
