"""Processes that train together: their shares and how they are started. That they train as one: test_train_vqgan.py."""

import socket
from contextlib import suppress

import pytest
import torch
from torch import distributed

from lung4d.training.launch import launch_command
from lung4d.training.ranks import Ranks, join


def test_the_passes_of_a_step_are_shared_out_in_order():
    assert [list(Ranks(rank, 3).share(6)) for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert list(Ranks().share(4)) == [0, 1, 2, 3]


def test_one_process_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")  # of some other program: the launcher says more than that
    ranks, tensor = join(), torch.ones(2)
    assert ranks == Ranks(0, 1) and ranks.first
    ranks.add([tensor])
    assert torch.equal(ranks.gather(tensor), tensor) and torch.equal(tensor, torch.ones(2))
    assert ranks.any(True, tensor.device) and not ranks.any(False, tensor.device)


@pytest.mark.parametrize(("ending", "parted"), [(None, True), (SystemExit(75), True), (OSError("disk full"), False)])
def test_processes_part_at_the_end_but_not_on_an_error(ending, parted):
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        with suppress(SystemExit, OSError), Ranks(0, 2):
            if ending:
                raise ending
        assert distributed.is_initialized() != parted
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def test_processes_on_one_node_are_started_by_the_launcher_of_torch():
    command = launch_command(4, 1, "stage.py", {})
    assert command[1:4] == ["-m", "torch.distributed.run", "--nproc-per-node=4"]
    assert command[4:] == ["--standalone", "stage.py"]


def test_processes_on_several_nodes_are_started_through_srun():
    command = launch_command(8, 2, "stage.py", {"SLURM_JOB_ID": "30017"})
    assert command[:5] == ["srun", "--overlap", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert {"--nproc-per-node=4", "--nnodes=2", f"--rdzv-endpoint={socket.gethostname()}:30017"} <= set(command)
    assert command[-1] == "stage.py"


def test_nodes_that_do_not_divide_the_processes_are_refused():
    with pytest.raises(ValueError, match="3 processes cannot be spread evenly over the 2 nodes"):
        launch_command(3, 2, "stage.py", {"SLURM_JOB_ID": "1"})
