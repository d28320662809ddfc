"""What a cluster does to a training, and that it ends as if nothing had happened: see docs/faults.md."""

import random
import signal
import time

import pytest

from trainings import Training, kill

STEPS = 80

# A gate that is closed holds a training that could otherwise come to its end before a test does something to it.


@pytest.fixture(scope="module")
def new(cluster, tiny_run, tmp_path_factory):
    """Make a training of its own."""

    def make(**rules):
        folder = tmp_path_factory.mktemp("fault") / "run"
        return Training(cluster, tiny_run, folder, STEPS, {"train_vqgan": rules} if rules else None)

    return make


@pytest.fixture(scope="module")
def undisturbed(new):
    """Weights of a training that nothing happened to."""
    training = new()
    training.run()
    assert [job["state"] for job in training.jobs()] == ["COMPLETED"]
    return training.weights()


def went_on(training, undisturbed) -> bool:
    """Whether the training ended as an undisturbed one, from a checkpoint and not from the start."""
    assert training.weights() == undisturbed
    assert not list((training.folder / "results/train_vqgan").rglob("lock*.json"))
    return "going on from checkpoint" in training.log()


def test_time_limit(new, undisturbed):
    training = new(runtime=2)
    training.gates.close("1 step")  # that is, until the time is up
    training.run()
    states = [job["state"] for job in training.jobs()]
    assert len(states) > 1 and states[-1] == "COMPLETED"
    assert set(states[:-1]) == {"FAILED"}  # it ended by itself, before SLURM's TIMEOUT
    assert went_on(training, undisturbed)
    assert sorted(set(training.steps())) == list(range(1, STEPS + 1))


def test_drained_nodes_and_scancel(new, undisturbed):
    training = new()
    training.gates.close("1 step")
    with training.cluster.drained("gpu1", "gpu2"):
        master = training.start()
        training.cluster.wait_for(training.jobs, 180)
        job = training.jobs()[0]["id"]
        training.cluster.wait_for(lambda: training.cluster.waits_for_a_node(job), 60)
    assert training.job() == job
    training.cluster.scancel(job)
    training.finish(master)
    assert [job["state"] for job in training.jobs()] == ["CANCELLED", "COMPLETED"]
    assert went_on(training, undisturbed)


def test_requeue(new, undisturbed):
    training = new()
    training.gates.close("1 step")
    master = training.start()
    job = training.job()
    training.cluster.requeue(job)
    training.finish(master)
    (only,) = training.jobs()  # no retry is spent
    assert only["state"] == "COMPLETED" and training.cluster.history(job)["Restarts"] == "1"
    assert went_on(training, undisturbed)


def test_an_error_once_and_out_of_memory_once(new, undisturbed, tmp_path):
    """The first process that trains ends with status 1 when Python starts, the second has too little memory."""
    training = new(mem_mb="300 if attempt == 2 else 8000")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"if 'train_vqgan' in ' '.join(sys.orig_argv[1:2]) and not os.path.exists({str(tmp_path / 'once')!r}):\n"
        f"    open({str(tmp_path / 'once')!r}, 'w').close()\n"
        "    os._exit(1)\n"
    )
    training.environment["PYTHONPATH"] = str(tmp_path)
    training.run()
    assert (tmp_path / "once").exists()
    jobs = training.jobs()
    assert [job["state"] for job in jobs] == ["FAILED", "FAILED", "COMPLETED"]
    assert ["exceeded memory limit" in training.printed(job["id"]) for job in jobs] == [False, True, False]
    assert training.weights() == undisturbed


def test_killed_at_random_points(new, undisturbed):
    training, generator = new(), random.Random(0)
    training.gates.close("1 step", "2 step", "3 step")  # none comes further than that before it is killed
    master, step = training.start(), 0
    for _ in range(3):
        training.job(beyond=step)
        step = training.step()
        training.cluster.wait_for(training.process, 60)
        time.sleep(generator.random())
        kill(training.process())
    training.finish(master)
    assert [job["state"] for job in training.jobs()] == ["FAILED"] * 3 + ["COMPLETED"]
    assert went_on(training, undisturbed)


def test_the_master_is_interrupted(new, undisturbed):
    training = new()
    training.gates.close("1 step")
    master = training.start()
    job = training.job()
    master.send_signal(signal.SIGINT)
    assert master.wait(300) != 0
    assert training.cluster.wait_for_end(job) == "CANCELLED"
    training.run()
    assert went_on(training, undisturbed)


def test_the_master_is_asked_to_end(new, undisturbed):
    """It starts no more jobs and waits for those that it has."""
    training = new()
    training.gates.close("1 step")
    master = training.start()
    job = training.job()
    master.send_signal(signal.SIGTERM)
    training.cluster.wait_for(lambda: "Will exit after finishing currently running jobs" in training.said())
    training.gates.open("1 step")
    master.wait(600)
    assert training.cluster.state(job) == "COMPLETED"
    training.run()
    assert training.weights() == undisturbed


def kill_and_start_again(training, master):
    """The next Snakemake, beside the job that the first one has started."""
    kill(master)
    assert training.start().wait(300) != 0 and "--unlock" in training.said()
    training.unlock()
    return training.start()


def test_the_master_is_killed_and_started_again_beside_its_job(new, undisturbed):
    """The second job finds the first training."""
    training = new()
    gates, wait_for = training.gates, training.cluster.wait_for
    gates.close("1 step")
    master = training.start()
    job = training.job()
    master = kill_and_start_again(training, master)
    wait_for(lambda: "trains in the same folder" in training.log(), 400)
    gates.open("1 step")
    training.finish(master)
    first, second = training.jobs()
    assert first["id"] == job and first["state"] == second["state"] == "COMPLETED"
    assert went_on(training, undisturbed)


def test_the_master_is_killed_and_started_again_as_its_job_ends(new, undisturbed):
    """The second job finds no training but takes away the outputs that the first one's Snakemake is to find; that job
    fails, and cannot remove with what it left what the second has written."""
    training = new()
    gates, wait_for = training.gates, training.cluster.wait_for
    gates.close("1 end", "2 start", "2 end")
    master = training.start()
    job = training.job()
    wait_for(lambda: gates.reached("1 end"), 400)
    master = kill_and_start_again(training, master)
    wait_for(lambda: gates.reached("2 start"), 400)
    assert not (training.folder / "results/train_vqgan/model.pt").exists()
    snakemake = training.snakemake_of(job)
    snakemake.suspend()  # between the end of the Snakemake below it, which misses the outputs, and what it does then
    gates.open("1 end")
    wait_for(lambda: "Missing files" in training.printed(job), 400)
    gates.open("2 start")
    wait_for(lambda: gates.reached("2 end") or f"waiting until job {job} of SLURM is gone" in training.log(), 400)
    snakemake.resume()
    assert training.cluster.wait_for_end(job, 400) == "FAILED"
    gates.open("2 end")
    training.finish(master)
    assert [job["state"] for job in training.jobs()] == ["FAILED", "COMPLETED"]
    assert went_on(training, undisturbed)
    assert sorted(set(training.steps())) == list(range(1, STEPS + 1))
