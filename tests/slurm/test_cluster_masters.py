"""What happens to the Snakemake that sees to a training on a cluster, and that the training ends as if nothing had."""

import signal

from trainings import STEPS, kill, went_on


def test_the_master_is_interrupted(new, undisturbed):
    training = new()
    training.gates.close("1 step")
    master = training.start()
    job = training.job()
    training.interrupt(master)
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
