"""What files of a run say of it: the logs of its jobs, the statuses of its scans. None of them need be there."""

import json
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

TAIL = 65536  # bytes of a log that are looked at
LONGEST = 600  # characters of an error
STAMPED = re.compile(r"^\d\d:\d\d:\d\d ([A-Z]+) (.*)$")  # a line of a job's log (lung4d.logs)
BETWEEN = ("Traceback (most recent call last)", "During handling of", "The above exception was")
STEP = re.compile(r"step (\d+)/(\d+), [^,]+, ([^,]+) left, ([^,]*)")  # lung4d.training.pace; the loss comes first
PART = re.compile(r"(\d+)/(\d+) (\w[\w ]*), [^,]+, ([\d.]+ s) left")  # lung4d.logs.progress
JOBS = re.compile(r"(\d+) of (\d+) steps \(")  # Snakemake, of its jobs
STOPPED = ("SIGINT", "SIGTERM", "KeyboardInterrupt")


def last_lines(path: str | Path) -> list[str]:
    """The lines at the end of a file; none where it cannot be read."""
    try:
        with Path(path).open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL))
            return stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def error_words(log: str | Path) -> str:
    """The last error in a job's log: a traceback's last line and its notes, or what was logged as an error."""
    lines = last_lines(log)
    starts = [number for number, line in enumerate(lines) if line.startswith(BETWEEN[0])]
    said: list[str] = []
    for line in lines[starts[-1] + 1 :] if starts else []:
        if STAMPED.match(line):
            break
        if line.strip() and not line.startswith((" ", *BETWEEN)):
            said.append(line.strip())
    if not said:
        stamped = (STAMPED.match(line) for line in lines)
        said = [one[2] for one in stamped if one and one[1] in ("ERROR", "CRITICAL")][-1:]
    text = re.sub(r"^(\w+\.)+(?=\w+:)", "", " ".join(said))  # an error's name without its module
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def exit_words(text: str) -> str:
    """How a command ended, from what Snakemake says of it; "" where it says nothing."""
    if found := re.search(r"died with <Signals\.(\w+)", text):
        return _killed(found[1])
    if found := re.search(r"non-zero exit status (\d+)", text):
        status = int(found[1])
        try:  # a shell says so of a command that was killed
            return _killed(signal.Signals(status - 128).name)
        except ValueError:
            return f"it ended with exit status {status}"
    return ""


def _killed(name: str) -> str:
    return f"it was killed by {name}" + (", as where memory runs out" if name == "SIGKILL" else "")


def progress_words(log: str | Path) -> str:
    """How far a job is by the last line of its log that says so: "step 250/750, loss 0.1, 2 min left"."""
    for line in reversed(last_lines(log)):
        if found := STEP.search(line):
            return f"step {int(found[1]):,}/{int(found[2]):,}, {found[4]}, {found[3]} left"
        if found := PART.search(line):
            return f"{found[1]} of {found[2]} {found[3]}, {found[4]} left"
    return ""


def shard_words(rule: str, wildcards: Mapping[str, str]) -> str:
    """How far the Snakemake inside a shard's job is."""
    for line in reversed(last_lines(f".snakemake/log/{rule}_{wildcards.get('shard', '')}.log")):
        if found := JOBS.search(line):
            return f"{found[1]} of {found[2]} jobs inside"
    return ""


def left_out(outputs: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Scans that these results of a job say cannot be used: scan, stage and reason.

    A stage leaves a status per scan; a job of many patients leaves a table of what it made.
    """
    for output in outputs:
        if output.endswith("_status.json"):
            yield from _unusable(output)
        elif output.startswith("results/shards/"):
            for line in last_lines(output):
                if (made := line.split("\t")[0]).endswith("_status.json"):
                    yield from _unusable(made)


def _unusable(path: str) -> Iterator[tuple[str, str, str]]:
    try:
        status = json.loads(Path(path).read_text(encoding="utf-8"))
        if not status["ok"]:
            yield Path(path).name.removesuffix("_status.json").replace("_", " "), status["stage"], status["reason"]
    except (OSError, ValueError, KeyError, TypeError):
        return


def job_words(rule: str, wildcards: Mapping[str, str]) -> str:
    """A job's name as people say it: "segment of sub-003 ses-02"."""
    short = {"subject": "sub-{}", "session": "ses-{}"}
    named = " ".join(short.get(key, f"{key} {{}}").format(value) for key, value in wildcards.items())
    return f"{rule} of {named}" if named else rule


def duration_words(seconds: float) -> str:
    """40 s, 6 min 12 s, 2 h 5 min, 3 days 4 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} days {hours % 24} h"
