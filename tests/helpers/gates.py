"""Gates at which a process that trains the 3D-VQ-GAN stops, so that a test can hold it at one moment for a while."""

from pathlib import Path

# Python reads this as it starts. A process that trains counts itself among those before it; one at the gate "step"
# goes on when it is asked to stop, too, as it would otherwise do after its step.
SITECUSTOMIZE = """\
import atexit, os, signal, sys, time

def count():
    for number in range(1, 100):
        try:
            return os.close(os.open(f"{folder}/process {{number}}", os.O_CREAT | os.O_EXCL)) or number
        except FileExistsError:
            continue

def asked_to_stop():
    stopper = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(stopper, "requested", False)

def gate(where):
    open(f"{folder}/{{number}} {{where}}", "w").close()
    while os.path.exists(f"{folder}/{{number}} {{where}} closed") and not (where == "step" and asked_to_stop()):
        time.sleep(0.1)

def hear(event, words, renamed=[]):
    if event == "os.rename" and "step-" in str(words[1]):
        renamed.append(words[1])
        if len(renamed) == 2:
            gate("step")

if "train_vqgan" in " ".join(sys.orig_argv[1:2]):
    number = count()
    gate("start")
    atexit.register(gate, "end")
    sys.addaudithook(hear)
"""


class Gates:
    """For processes with `environment`, in the order in which they start: "1 start" before anything is done, "1 step"
    before the second checkpoint that the process writes, "1 end" when all is written and the lock is released but
    Snakemake waits for the process to end. All are open at first."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(folder=folder))

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}

    def close(self, *gates: str) -> None:
        for gate in gates:
            (self.folder / f"{gate} closed").touch()

    def open(self, gate: str) -> None:
        (self.folder / f"{gate} closed").unlink()

    def reached(self, gate: str) -> bool:
        return (self.folder / gate).exists()
