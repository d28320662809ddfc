"""A small workflow with the names of the real one, run by the real Snakemake with the logger plugin."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from helpers.running import ROOT

SNAKEFILE = """
SCANS = [(subject, session) for subject in ("001", "002") for session in ("01", "02")]


rule all:
    input:
        "results/report/index.html",


rule convert:
    output:
        "results/convert/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    log:
        "results/logs/convert/sub-{subject}_ses-{session}.log",
    shell:
        "bash {workflow.basedir}/job.sh convert {wildcards.subject} {wildcards.session} {output} {log}"


rule segment:
    input:
        "results/convert/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    output:
        "results/segment/sub-{subject}/sub-{subject}_ses-{session}_status.json",
    log:
        "results/logs/segment/sub-{subject}_ses-{session}.log",
    shell:
        "bash {workflow.basedir}/job.sh segment {wildcards.subject} {wildcards.session} {output} {log}"


rule train_vqgan:
    input:
        [f"results/segment/sub-{subject}/sub-{subject}_ses-{session}_status.json" for subject, session in SCANS],
    output:
        "results/train_vqgan/model.pt",
    log:
        "results/logs/train_vqgan/train_vqgan.log",
    shell:
        "bash {workflow.basedir}/job.sh train_vqgan 0 0 {output} {log}"


rule report:
    input:
        "results/train_vqgan/model.pt",
    output:
        "results/report/index.html",
    log:
        "results/logs/report/report.log",
    shell:
        "bash {workflow.basedir}/job.sh report 0 0 {output} {log}"
"""

# $1 the stage, $2 subject, $3 session, $4 its result, $5 its log. What a scan or a stage shall do is in files.
JOB = """
mkdir -p "$(dirname "$4")" "$(dirname "$5")"
status='{"ok": true, "stage": "'$1'", "reason": ""}'
[ -e "unusable-$1-$2-$3" ] && status='{"ok": false, "stage": "'$1'", "reason": "The file is empty; copy it again."}'
echo "12:00:00 INFO begun" > "$5"
if [ $1 = train_vqgan ]; then
    echo "12:00:01 INFO step 250/20000, 3.1 steps/s, 1 h 46 min left, loss 0.1234" >> "$5"
    echo "a word of a job on the terminal" >&2
    sleep "$(cat seconds 2>/dev/null || echo 0)"
fi
if [ -e "fails-$1-$2-$3" ]; then
    printf 'Traceback (most recent call last):\\n  File "x.py", line 1\\nValueError: the mask is empty\\n' >> "$5"
    exit 1
fi
[ -e "killed-$1-$2-$3" ] && kill -KILL $$
echo "$status" > "$4"
"""


def make(folder: Path, *files: str, seconds: float = 0.0) -> Path:
    """The workflow in a folder, with the files that tell its jobs what to do, such as "fails-segment-002-01"."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "job.sh").write_text(JOB)
    (folder / "seconds").write_text(str(seconds))
    for name in files:
        (folder / name).touch()
    return folder


def environment(**more: str) -> dict[str, str]:
    """A user's, with the plugin and without what the tests set for themselves."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LUNG4D_", "SLURM_", "PYTEST_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "tools/logger"), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm", **more}


def command(folder: Path, *words: str) -> list[str]:
    start = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--cores", "2"]
    return [*start, "--snakefile", str(folder / "Snakefile"), "--logger", "lung4d", *words]


def into_a_file(words: list[str], when: Callable[[], bool] | None = None, number: int = 0, **more: str) -> list[str]:
    """The lines that the command writes; once `when` is true, its processes get the signal `number`."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(
        words, env=environment(**more), start_new_session=True, preexec_fn=hear_interrupts, **streams
    )
    if when is not None:
        send(run, when, number)
    return run.communicate(timeout=300)[0].splitlines()


def hear_interrupts() -> None:
    """Tests in the background of a shell do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def send(run: subprocess.Popen, when: Callable[[], bool], number: int) -> None:
    """The signal, once it is time: to Snakemake alone, or as from the keyboard (SIGINT) to all its processes."""
    while not when():
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)


def on_a_terminal(words: list[str], **more: str) -> str:
    """All that the command writes to a terminal of 100 columns."""
    mine, its = pty.openpty()
    run = subprocess.Popen(words, env=environment(**more), stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    written = b""
    try:
        while data := os.read(mine, 65536):
            written += data
    except OSError:  # the other end is closed
        pass
    run.wait(timeout=60)
    os.close(mine)
    return written.decode().replace("\r\n", "\n")


def shown(written: str) -> list[str]:
    """The lines that stand on a terminal in the end, of text in which lines are taken back by escape sequences."""
    lines: list[str] = []
    for part in re.split(r"(\x1b\[\d+A\x1b\[J)", written):
        if taken := re.fullmatch(r"\x1b\[(\d+)A\x1b\[J", part):
            del lines[len(lines) - int(taken[1]) :]
        else:
            lines += part.splitlines()
    return lines
