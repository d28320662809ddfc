"""The test cluster itself: known answers of a real SLURM."""


def test_both_partitions_run_a_job(cluster):
    jobs = {name: cluster.submit("echo $SLURM_JOB_PARTITION", f"--partition={name}") for name in ("cpu", "a100")}
    assert {cluster.wait_for_end(job) for job in jobs.values()} == {"COMPLETED"}
    assert {name: cluster.printed(job).strip() for name, job in jobs.items()} == {"cpu": "cpu", "a100": "a100"}
    ended = {job["id"]: (job["state"], job["node"][:3]) for job in cluster.jobs()}
    assert ended.items() >= {(jobs["cpu"], ("COMPLETED", "cpu")), (jobs["a100"], ("COMPLETED", "gpu"))}


def test_two_jobs_have_a_gpu_each_and_a_third_waits(cluster):
    gpu = ("--partition=a100", "--nodelist=gpu1", "--gres=gpu:a100:1")
    first, second = (cluster.submit("echo $CUDA_VISIBLE_DEVICES; sleep 60", *gpu) for _ in range(2))
    third = cluster.submit("echo $CUDA_VISIBLE_DEVICES", *gpu)
    cluster.wait_for(lambda: cluster.state(second) == "RUNNING" and cluster.history(third)["Reason"] == "Resources", 20)
    devices = cluster.wait_for(lambda: cluster.printed(first) and cluster.printed(second), 20)
    cluster.cancel(first)
    assert cluster.wait_for_end(third) == "COMPLETED"
    assert cluster.state(first) == "CANCELLED"
    assert {cluster.printed(first)[0], devices[0]} == {"0", "1"}
    assert cluster.printed(third)[0] == cluster.printed(first)[0]  # the one that was set free
    cluster.cancel(second)


def test_a_drained_node_keeps_its_job_and_takes_no_other(cluster):
    here = "--nodelist=cpu1"
    running = cluster.submit("sleep 60", here)
    cluster.wait_for(lambda: cluster.state(running) == "RUNNING", 20)
    cluster.drain("cpu1")
    waiting = cluster.submit("true", here)
    cluster.wait_for(lambda: "ReqNodeNotAvail" in cluster.history(waiting)["Reason"], 20)
    assert cluster.state(running) == "RUNNING"
    cluster.resume("cpu1")
    assert cluster.wait_for_end(waiting) == "COMPLETED"
    cluster.cancel(running)
