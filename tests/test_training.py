"""What both trainings share: checkpoints, lock, signals, random states, digests, history."""

import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lung4d.figures.progress import plot_progress
from lung4d.training.checkpoints import Checkpoints
from lung4d.training.digest import training_digest
from lung4d.training.history import History
from lung4d.training.lock import Lock
from lung4d.training.pace import Pace
from lung4d.training.random_states import capture_random_states, restore_random_states, seed_everything
from lung4d.training.stopping import Stopper

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


def test_checkpoints_keep_the_newest_and_load_the_latest(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a-b-c", keep=2)
    for step in (1, 2, 10):
        checkpoints.save({"step": step, "weights": torch.full((3,), float(step))}, step)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-00000002_digest-a-b-c.pt",
        "step-00000010_digest-a-b-c.pt",
    ]
    state = checkpoints.load_latest()
    assert state["step"] == 10 and torch.equal(state["weights"], torch.full((3,), 10.0))


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "new", "d").load_latest() is None


@pytest.mark.parametrize("damage", [0, 10, 0.5, 0.99])
def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage):
    checkpoints = Checkpoints(tmp_path, "d")
    checkpoints.save({"step": 1, "weights": torch.ones(1000)}, 1)
    newest = checkpoints.save({"step": 2, "weights": torch.ones(1000)}, 2)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(damage * len(content)) if damage < 1 else damage])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load_latest()["step"] == 1
    assert newest.name in caplog.text and "taking the one before" in caplog.text


def test_a_failed_save_leaves_the_last_good_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, "d")
    checkpoints.save({"step": 1}, 1)
    with pytest.raises(Exception, match=r"pickle|local object"):
        checkpoints.save({"step": 2, "unwritable": lambda: None}, 2)
    assert checkpoints.load_latest()["step"] == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_of_another_digest_is_refused_by_name_and_kept(tmp_path, caplog):
    Checkpoints(tmp_path, "aaa-bbb-ccc").save({"step": 9}, 9)
    other = Checkpoints(tmp_path, "aaa-xxx-yyy")
    with caplog.at_level(logging.WARNING):
        assert other.load_latest() is None
    assert "step-00000009_digest-aaa-bbb-ccc.pt" in caplog.text
    assert "other split and data" in caplog.text
    other.save({"step": 1}, 1)
    assert other.load_latest()["step"] == 1
    assert Checkpoints(tmp_path, "aaa-bbb-ccc").load_latest()["step"] == 9  # the change was undone


def test_digest_sees_settings_rows_and_contents_but_no_folder_and_no_time(tmp_path):
    rows = pd.DataFrame({"subject": ["01"], "years": [0.5]})
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii").write_bytes(b"abc")
    os.utime(tmp_path / "two" / "a.nii", (1, 1))
    settings = {"width": 16, "crop": [32, 32, 32], "code": "x", "version": None, "checkpoints": "here"}
    digest = training_digest(settings, rows, [tmp_path / "one" / "a.nii"])
    assert digest == training_digest({**settings, "version": "mine"}, rows, [tmp_path / "two" / "a.nii"])
    for key in ("fits", "checkpointing", "tensorboard", "save_every", "settings_digest"):  # how, not what
        assert digest == training_digest({**settings, key: "other"}, rows, [tmp_path / "one" / "a.nii"])
    changed = [
        training_digest({**settings, "width": 8}, rows, [tmp_path / "one" / "a.nii"]),
        training_digest({**settings, "code": "y"}, rows, [tmp_path / "one" / "a.nii"]),
        training_digest(settings, rows.assign(years=0.6), [tmp_path / "one" / "a.nii"]),
    ]
    (tmp_path / "one" / "a.nii").write_bytes(b"abd")  # same size
    changed.append(training_digest(settings, rows, [tmp_path / "one" / "a.nii"]))
    assert len({digest, *changed}) == 5


def draw_all():
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()  # noqa: NPY002


def test_random_states_survive_a_checkpoint(tmp_path):
    seed_everything(3)
    np.random.randn()  # leaves a second normal number in the generator  # noqa: NPY002
    checkpoints = Checkpoints(tmp_path, "d")
    checkpoints.save({"random": capture_random_states()}, 1)
    expected = [draw_all() for _ in range(3)]
    seed_everything(99)
    restore_random_states(checkpoints.load_latest()["random"])
    assert [draw_all() for _ in range(3)] == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop_and_leaving_exits_75(number):
    before = signal.getsignal(number)
    with Stopper() as stopper:
        assert not stopper.requested
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # forwarded by the parent as well
        assert stopper.requested
        with pytest.raises(SystemExit) as exit_:
            stopper.leave()
    assert exit_.value.code == 75
    assert signal.getsignal(number) is before


def run_python(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], env=environment)


def wait_for(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_the_lock_waits_until_it_is_released(tmp_path, caplog):
    held = Lock(tmp_path, beat=0.1, stale=60)
    order = []

    def second():
        with Lock(tmp_path, beat=0.1, stale=60):
            order.append("second")

    with caplog.at_level(logging.WARNING), held:
        thread = threading.Thread(target=second)
        thread.start()
        wait_for(lambda: "waiting" in caplog.text)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert str(os.getpid()) in caplog.text and socket.gethostname() in caplog.text
    assert not (tmp_path / "lock.json").exists()


def test_a_stop_is_heard_while_waiting_for_the_lock(tmp_path):
    with (
        Lock(tmp_path, beat=0.1),
        pytest.raises(SystemExit) as exit_,
        Lock(tmp_path, give_up=lambda: True, beat=0.1),
    ):
        pass
    assert exit_.value.code == 75
    assert not (tmp_path / "lock.json").exists()  # released by its owner, untouched by the other


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path):
    process = run_python(
        "import sys, time; from lung4d.training.lock import Lock\nwith Lock(sys.argv[1]): time.sleep(60)", tmp_path
    )
    wait_for((tmp_path / "lock.json").exists)
    process.kill()
    process.wait()
    began = time.monotonic()
    with Lock(tmp_path, stale=1000):
        assert time.monotonic() - began < 100  # a busy machine; waiting would take 1000 s


def test_a_lock_of_another_host_is_stale_only_when_its_heartbeat_stops(tmp_path, monkeypatch):
    """By a clock of our own: seven beats, one every two seconds."""
    now = 0.0

    def write(beats):
        (tmp_path / "lock.json").write_text(f'{{"host": "elsewhere", "pid": 1, "token": "t", "beats": {beats}}}')

    def sleep(seconds):
        nonlocal now
        now += seconds
        write(min(int(now / 2), 7))

    write(0)
    monkeypatch.setattr("lung4d.training.lock.time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    with Lock(tmp_path, stale=7) as lock:
        assert 14 + 7 < now < 14 + 7 + 2
        lock.check()


def test_a_process_that_lost_its_lock_does_not_save(tmp_path):

    def take_over():
        """Also where the next beat, which has read the lock just before, is written over this."""
        (tmp_path / "lock.json").write_text('{"host": "elsewhere", "pid": 1, "token": "t", "beats": 0}')
        return lock.lost

    with Lock(tmp_path, beat=0.1) as lock:
        wait_for(take_over)
        with pytest.raises(RuntimeError, match="another process"):
            lock.check()
    assert "elsewhere" in (tmp_path / "lock.json").read_text()  # not removed: it is not ours


def test_a_process_under_anothers_lock_notices_when_that_is_gone(tmp_path):
    with Lock(tmp_path, beat=1000) as lock:
        with Lock(tmp_path, held=True) as held:
            held.check()
        assert (tmp_path / "lock.json").is_file()
        with Lock(tmp_path, held=True) as held:
            owner = json.loads((tmp_path / "lock.json").read_text())
            for other in ({"token": "of another"}, {"pid": 2**22 + 1}):  # taken over, dead
                (tmp_path / "lock.json").write_text(json.dumps(owner | other))
                with pytest.raises(RuntimeError, match="belongs to another process"):
                    held.check()
        (tmp_path / "lock.json").write_text(json.dumps(owner))
        lock.check()


def test_an_unreadable_lock_is_taken_over_when_it_stays_so(tmp_path):
    (tmp_path / "lock.json").write_text("")
    with Lock(tmp_path, beat=0.1, stale=0.3):
        pass


def test_history_is_written_whole_and_drawn(tmp_path):
    history = History(tmp_path / "history.parquet")
    for step in range(1, 31):
        history.add(step=step, loss=1 / step, **({"held_out_loss": 2 / step} if step % 10 == 0 else {}))
    history.write()
    resumed = History(history.path, history.rows[:20])
    resumed.add(step=21, loss=0.1)
    resumed.write()
    frame = pd.read_parquet(history.path)
    assert frame["step"].tolist() == list(range(1, 22))
    assert frame["held_out_loss"].notna().sum() == 2
    plot_progress(history.frame(), tmp_path / "progress.png")
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")


def test_history_tells_tensorboard_the_same(tmp_path, monkeypatch):
    told = []

    class Writer:
        def __init__(self, folder, purge_step):
            told.append((folder, purge_step))

        def add_scalar(self, *given):
            told.append(given)

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    history = History(tmp_path / "history.parquet", [{"step": 1, "loss": 3.0}], tensorboard=True)
    history.add(step=2, loss=2.0)
    assert told == [(tmp_path / "tensorboard", 2), ("loss", 2.0, 2)]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        History(tmp_path / "history.parquet", tensorboard=True)


def test_an_empty_history_can_be_drawn(tmp_path):
    plot_progress(pd.DataFrame({"step": []}), tmp_path / "progress.png")
    assert (tmp_path / "progress.png").is_file()


def test_pace_logs_rate_and_time_left(caplog):
    with caplog.at_level(logging.INFO):
        pace = Pace(total=10, every_seconds=0)
        pace.log(4, {"loss": 0.5})
        pace.log(10, {"loss": 0.25})
    assert "step 4/10" in caplog.text and "left, loss 0.5" in caplog.text and "step 10/10" in caplog.text
