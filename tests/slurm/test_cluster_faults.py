"""What a cluster does to a training's jobs, and that it ends as if nothing had happened: see docs/faults.md."""

import random
import time

from trainings import STEPS, kill, went_on


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
