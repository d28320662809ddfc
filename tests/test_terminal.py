"""What a run says: into a file a line a stage, on a terminal stages that are drawn anew, at the end what came of it."""

import json
import logging
import os
import re
import signal
import sys
import time
from types import SimpleNamespace

import pytest
import yaml
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

import snakemake_logger_plugin_lung4d as plugin
from helpers import toy_run
from helpers.running import ROOT
from lung4d import logs
from lung4d.pipeline import terminal
from lung4d.pipeline.ending import last_lines
from snakemake_logger_plugin_lung4d import words
from snakemake_logger_plugin_lung4d.screen import Screen
from snakemake_logger_plugin_lung4d.teller import Teller

TRACE = '12:00:00 CRITICAL stopped by an error\nTraceback (most recent call last):\n  File "a.py", line 3\n    go()\n'
# The end of a job's log, and the error in it as it is told.
LOGS = {
    "an error": (TRACE + "ValueError: the mask is empty\n", "ValueError: the mask is empty"),
    "an error with a note": (
        TRACE + "lung4d.io.atomic.DamagedFile: a.npz cannot be used (cut)\nTo mend it, make it again.\n",
        "DamagedFile: a.npz cannot be used (cut) To mend it, make it again.",
    ),
    "an error that came of another": (
        f"{TRACE}KeyError: 'x'\n\nThe above exception was the direct cause of the following exception:\n\n"
        + TRACE
        + "OSError: [Errno 28] No space left on device\n",
        "OSError: [Errno 28] No space left on device",
    ),
    "an error and words after it": (TRACE + "RuntimeError: no\n12:00:01 INFO released\n", "RuntimeError: no"),
    "words that are marked as an error": ("12:00:00 INFO a\n12:00:01 ERROR not made: b\n", "not made: b"),
    "no error": ("12:00:00 INFO step 1/2, 1 steps/s, 1 s left, loss 1\n", ""),
    "nothing": ("", ""),
    "not text": ("\x00\x01 \ud83e", ""),
    "a long error": (TRACE + "ValueError: " + "x" * 1000, "ValueError: " + "x" * 585 + "..."),
}
# What Snakemake says of a command that ended badly, and how that is told.
EXITS = {
    "returned non-zero exit status 1.": "it ended with exit status 1",
    "returned non-zero exit status 75.": "it ended with exit status 75",
    "died with <Signals.SIGKILL: 9>.": "it was killed by SIGKILL, as where memory runs out",
    "returned non-zero exit status 137.": "it was killed by SIGKILL, as where memory runs out",
    "returned non-zero exit status 139.": "it was killed by SIGSEGV",
    "died with <Signals.SIGTERM: 15>.": "it was killed by SIGTERM",
    "MissingOutputException": "",
}
PROGRESS = {
    "12:00:00 INFO step 250/20000, 3 steps/s, 1 h 46 min left, loss 1": "step 250/20,000, loss 1, 1 h 46 min left",
    "12:00:00 INFO step 3/12, 4.2 s/step, 38 s left, loss 1, mse 2": "step 3/12, loss 1, 38 s left",
    "12:00:00 INFO 12/80 scans, 3.1/s, 22 s left": "12 of 80 scans, 22 s left",
    "12:00:00 INFO 3/5 patients of the test set, 0.1/s, 20 s left": "3 of 5 patients of the test set, 20 s left",
    "12:00:00 INFO 31 of 32 codes are used in 17 scans": "",
    "": "",
}
DURATIONS = {
    0.4: "0 s",
    59.6: "1 min 0 s",
    372: "6 min 12 s",
    3599: "59 min 59 s",
    7500: "2 h 5 min",
    172799: "2 days 0 h",
    273600: "3 days 4 h",
}


@pytest.mark.parametrize("name", LOGS)
def test_a_failed_job_is_told_by_the_last_error_in_its_log(tmp_path, name):
    text, told = LOGS[name]
    (tmp_path / "job.log").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert words.error_words(tmp_path / "job.log") == told
    assert words.error_words(tmp_path / "absent.log") == ""


@pytest.mark.parametrize("said", EXITS)
def test_a_job_without_a_word_in_its_log_is_told_by_how_its_command_ended(said):
    assert words.exit_words(f"CalledProcessError in file x, line 1:\nCommand 'python y' {said}") == EXITS[said]


@pytest.mark.parametrize("line", PROGRESS)
def test_a_job_on_its_way_is_told_by_its_log(tmp_path, line):
    (tmp_path / "job.log").write_text(f"{line}\n12:00:09 INFO something else\n")
    assert words.progress_words(tmp_path / "job.log") == PROGRESS[line]


@pytest.mark.parametrize("seconds", DURATIONS)
def test_durations(seconds):
    assert words.duration_words(seconds) == DURATIONS[seconds]


class TestThePluginAsSnakemakeWantsIt(TestLogHandlerBase):
    __test__ = True

    def get_log_handler_cls(self):
        return plugin.LogHandler

    def get_log_handler_settings(self):
        return None


def record(event=None, text="", level=logging.INFO, **values):
    made = logging.LogRecord("snakemake.logging", level, "x.py", 1, text, (), None)
    made.__dict__ |= values | ({"event": event} if event else {})
    return made


def job(number, rule, **wildcards):
    known = {"rule_name": rule, "jobid": number, "wildcards": wildcards, "output": ["x"], "log": [f"{rule}.log"]}
    return record(LogEvent.JOB_INFO, **known)


def ended(number):
    return record(LogEvent.JOB_FINISHED, job_id=number)


def failed(number, rule, said=None):
    return record(LogEvent.JOB_ERROR, level=logging.ERROR, jobid=number, rule_name=rule, rule_msg=said, log=[])


def told(teller, *records):
    return [line for number, one in enumerate(records) for line in teller.take(one, teller.begun + number)]


PLAN = record(LogEvent.RUN_INFO, stats={"segment": 2, "train_vqgan": 1, "all": 1, "total": 4})


def test_a_stage_is_told_once_when_it_is_over():
    teller = Teller()
    lines = told(teller, PLAN, job(1, "segment", subject="1"), job(2, "segment", subject="2"), ended(1), ended(2))
    assert lines == ["4 jobs of 2 stages", "segment                   2 of 2    3 s"]


def test_how_it_stands_has_a_row_for_each_stage_that_runs_with_the_time_left():
    teller = Teller()
    records = (PLAN, job(1, "segment", subject="1"), ended(1), job(2, "segment", subject="2"), job(3, "train_vqgan"))
    for one, seconds in zip(records, (0, 1, 11, 12, 13), strict=True):
        teller.take(one, teller.begun + seconds)
    assert teller.status(teller.begun + 15) == [
        "1 of 4 jobs done, 15 s",
        "  segment                   1 of 2    about 6 s left",
        "  train_vqgan           for 2 s",
    ]
    assert teller.status(teller.begun + 90)[1].endswith("1 of 2    for 1 min 29 s")  # the pace is not kept


def test_jobs_on_a_cluster_are_queued_until_they_write_their_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teller = Teller()
    told(teller, record(LogEvent.RESOURCES_INFO, nodes=50), PLAN, *(job(n, "segment", subject=str(n)) for n in (1, 2)))
    assert teller.status(teller.begun + 5)[1].endswith("0 running, 2 queued, for 3 s")
    (tmp_path / "segment.log").touch()
    assert "2 running, 0 queued" in teller.status(teller.begun + 5)[1]


def test_a_job_that_is_tried_again_and_goes_well_is_no_failure():
    teller = Teller()
    lines = told(
        teller,
        PLAN,
        job(3, "train_vqgan"),
        failed(3, "train_vqgan", "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'"),
        record(text="Trying to restart job 3."),
        job(3, "train_vqgan"),
        ended(3),
    )
    assert lines[1:] == [
        "Failed: train_vqgan: SLURM-job '7' failed, SLURM status is: 'TIMEOUT' (train_vqgan.log)",
        "train_vqgan is tried again",
        "train_vqgan               1 of 1    4 s",
    ]
    assert not teller.failures


def test_in_the_shards_the_jobs_inside_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/log").mkdir(parents=True)
    (tmp_path / ".snakemake/log/shard_scans_1-of-2.log").write_text("3 of 40 steps (8%) done\n")
    teller = Teller()
    told(teller, record(LogEvent.RUN_INFO, stats={"shard_scans": 2, "total": 2}), job(1, "shard_scans", shard="1-of-2"))
    assert teller.status(teller.begun + 2)[1].endswith("3 of 40 jobs inside")
    status = {"ok": False, "stage": "convert", "reason": "The file is empty."}
    (tmp_path / "sub-7_ses-02_status.json").write_text(json.dumps(status))
    (tmp_path / "results/shards/scans").mkdir(parents=True)
    (tmp_path / "results/shards/scans/1-of-2.tsv").write_text("target\tdigest\nsub-7_ses-02_status.json\tab\n")
    found = list(words.left_out(["results/shards/scans/1-of-2.tsv"]))
    assert found == [("sub-7 ses-02", "convert", "The file is empty.")]


WARNING = "Your conda installation is not configured to use strict channel priorities."
# What Snakemake says in plain words before and during a run, and whether a person is told.
PLAIN = {
    ("Building DAG of jobs...", logging.INFO): (False, False),
    ("Using shell: /usr/bin/bash", logging.INFO): (False, False),
    ("Creating conda environment workflow/envs/convert.yaml...", logging.INFO): (True, False),
    ("Unlocked working directory.", logging.INFO): (True, False),
    ("Select jobs to execute...", logging.INFO): (True, False),
    ("Will exit after finishing currently running jobs (scheduler).", logging.INFO): (True, True),
    (WARNING, logging.WARNING): (True, True),
    ("Exiting because a job execution failed. Look above for error messages", logging.ERROR): (False, False),
    ("", logging.INFO): (False, False),
}


@pytest.mark.parametrize(("text", "level"), PLAIN)
def test_what_snakemake_says_in_plain_words(text, level):
    before, after = PLAIN[text, level]
    assert bool(told(Teller(), record(text=text, level=level))) == before
    assert len(told(Teller(), PLAN, record(text=text, level=level))) == 1 + after


def handler_of(monkeypatch, stream, quiet=None, **settings):
    monkeypatch.setattr("sys.stderr", stream)
    asked = MockOutputSettings()
    asked.quiet = quiet
    for name, value in settings.items():
        setattr(asked, name, value)
    return plugin.LogHandler(asked, None)


class Stream:
    def __init__(self, tty=False):
        self.text, self.tty = "", tty

    def isatty(self):
        return self.tty

    def write(self, text):
        self.text += text

    def flush(self):
        pass


RUN = (PLAN, job(1, "segment"), failed(1, "segment"), job(2, "segment"), ended(2), job(3, "train_vqgan"), ended(3))


@pytest.mark.parametrize(
    ("quiet", "has", "has_not"),
    [
        (None, ["4 jobs of 2 stages", "Failed: segment: it failed", "train_vqgan ", "Failed after"], []),
        ({Quietness.RULES}, ["Failed: segment: it failed", "train_vqgan ", "Failed after"], []),
        ({Quietness.PROGRESS}, ["Failed: segment: it failed", "Failed after"], ["train_vqgan "]),
        ({Quietness.ALL}, [], ["Failed"]),
    ],
)
def test_quiet_is_as_quiet_as_it_is_asked_to_be(monkeypatch, quiet, has, has_not):
    stream = Stream()
    handler = handler_of(monkeypatch, stream, quiet)
    for one in RUN:
        if Quietness.PROGRESS in (quiet or ()) and one.event == LogEvent.JOB_FINISHED:
            continue  # which Snakemake does not tell then
        handler.handle(one)
    handler.close()
    handler.close()
    assert all(text in stream.text for text in has) and not any(text in stream.text for text in has_not)
    assert stream.text.count("Failed after") <= 1


def test_a_dry_run_is_told_by_snakemake(monkeypatch):
    out = Stream()
    monkeypatch.setattr("sys.stdout", out)
    handler = handler_of(monkeypatch, Stream(), dryrun=True, stdout=True)
    handler.handle(record(LogEvent.RUN_INFO, "Job stats:\njob  count\n", stats={"segment": 2}))
    handler.close()
    assert out.text == "Job stats:\njob  count\n\n"


def test_a_terminal_that_cannot_be_drawn_on_gets_a_sign_all_the_same(monkeypatch):
    assert max(plugin.SIGN_SECONDS, plugin.DRAW_SECONDS) < 60
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(plugin, "SIGN_SECONDS", 0.0)
    monkeypatch.setattr(plugin, "DRAW_SECONDS", 0.0)
    stream = Stream(tty=True)
    handler = handler_of(monkeypatch, stream)
    begun = time.monotonic()
    while stream.text.count("Reading the cohort") < 2:
        assert time.monotonic() - begun < 60
        time.sleep(0.05)
    handler.close()
    assert "\x1b" not in stream.text


def test_results_that_cannot_be_read_do_not_make_a_fault_of_a_run_that_went_well(monkeypatch):
    def broken(finished, made):
        raise OSError("no such disk")

    stream = Stream()
    handler = handler_of(monkeypatch, stream)
    handler.facts = broken
    handler.handle(record(text="Nothing to be done (all requested files are present and up to date)."))
    handler.close()
    assert stream.text.splitlines()[0] == "Nothing to do: all results are there and up to date."
    assert "could not be read: OSError: no such disk" in stream.text


def test_what_is_drawn_fits_the_terminal_and_is_taken_back(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(Stream(tty=True))
    screen.draw(["x" * 200, *"abc"])
    screen.say(["stays"])
    screen.draw(["again"])
    screen.give_back()
    assert max(map(len, screen.stream.text.splitlines())) <= 80
    assert toy_run.shown(screen.stream.text) == ["stays"]


def test_a_run_of_many_jobs_is_told_in_sixty_lines(tmp_path):
    stages = [f"stage{number}" for number in range(17)]
    teller = Teller()
    lines = told(teller, record(LogEvent.RUN_INFO, stats=dict.fromkeys(stages, 100) | {"total": 1700}))
    for number in range(1700):
        lines += told(teller, job(number, stages[number // 100], subject=str(number % 100)), ended(number))
    scans = [(f"{number:03d}", "01") for number in range(100)]
    for number, scan in enumerate(scans[:40]):
        put_status(tmp_path, "convert", scan, f"It is broken in way {'abcdefgh'[number % 8]}.")
    rows = [f"{subject}\t{session}\tLook at it." for subject, session in scans]
    (tmp_path / "qc").mkdir()
    (tmp_path / "qc/qc.tsv").write_text("\n".join(["subject\tsession\tflags", *rows]))
    tasks = [{"set": "test", "task": name, "patients": 0, "models": []} for name in ("one", "two")]
    unscored = [{"reason": f"too few {letter}", "model": letter} for letter in "abcdefgh"]
    for stage, findings in (("evaluate", {"tasks": tasks}), ("survival", {"unscored": unscored})):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "summary.json").write_text(json.dumps({"findings": findings}))
    assert len(lines) == 1 + 17 and teller.finished
    last = last_lines(tmp_path, scans, 3, teller.finished, {"qc"})
    assert "  one was not scored: no test patient has three usable visits" in last
    assert len(lines) + len(teller.ending(teller.begun)) + len(last) <= 60, last


# The real Snakemake, in a small workflow with the real one's names


def stages_of(lines):
    rows = (re.match(r"(?:\d\d:\d\d:\d\d )?(\w+) +(\d+) of (\d+)  ", line) for line in lines)
    return {row[1]: (int(row[2]), int(row[3])) for row in rows if row}


def test_a_run_that_goes_well_is_a_line_a_stage_and_its_last_words(tmp_path):
    folder = toy_run.make(tmp_path, "unusable-convert-002-02")
    lines = toy_run.into_a_file(toy_run.command(folder))
    assert stages_of(lines) == {"convert": (4, 4), "segment": (4, 4), "train_vqgan": (1, 1), "report": (1, 1)}
    assert sum("sub-002 ses-02 is left out: convert: The file is empty; copy it again." in line for line in lines) == 1
    assert re.fullmatch(r"Done: 11 jobs in \d+ s\.", lines[-1])
    assert len(lines) <= 12, lines
    log = next((tmp_path / ".snakemake/log").glob("*.snakemake.log")).read_text()
    assert "Finished jobid" in log and "rule train_vqgan" in log


def test_a_failure_is_told_as_patient_visit_and_reason_and_what_was_not_done(tmp_path):
    folder = toy_run.make(tmp_path, "fails-segment-002-01", "killed-segment-001-02")
    lines = toy_run.into_a_file(toy_run.command(folder, "--keep-going"))
    told = [
        f"segment of sub-{scan}: {reason} (results/logs/segment/sub-{scan.replace(' ', '_')}.log)"
        for scan, reason in (
            ("002 ses-01", "ValueError: the mask is empty"),
            ("001 ses-02", "it was killed by SIGKILL, as where memory runs out"),
        )
    ]
    assert all(any(line.endswith(f" Failed: {text}") for line in lines) for text in told), lines
    head = next(number for number, line in enumerate(lines) if line.startswith("Failed after"))
    assert re.fullmatch(r"Failed after \d+ s: 6 of 11 jobs are done, 2 failed\.", lines[head])
    assert sorted(lines[head + 1 : head + 3]) == sorted(f"  {text}" for text in told)
    assert lines[head + 3] == "Not done: segment 2 of 4, train_vqgan, report; because of that."
    assert "Traceback" not in "".join(lines) and "CalledProcessError" not in "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_what_was_not_done(tmp_path, number):
    folder = toy_run.make(tmp_path, seconds=5)
    begun = tmp_path / "results/logs/train_vqgan/train_vqgan.log"
    lines = toy_run.into_a_file(toy_run.command(folder), begun.exists, number)
    assert sum("Interrupted: jobs" in line for line in lines) == 1
    assert [line for line in lines if line.startswith("Interrupted after")]
    missing = "train_vqgan, report" if number == signal.SIGINT else "report"
    assert f"Not done: {missing}; the run was interrupted." in lines
    assert not [line for line in lines if line.startswith("Failed") or "Failed:" in line]


def test_a_terminal_shows_the_training_as_it_goes_and_what_jobs_write_stays(tmp_path):
    folder = toy_run.make(tmp_path, seconds=4)
    (folder / "Snakefile").write_text("import time\n\ntime.sleep(1)\n" + toy_run.SNAKEFILE)
    written = toy_run.on_a_terminal(toy_run.command(folder))
    assert "step 250/20,000, loss 0.1234, 1 h 46 min left" in written and "Reading the cohort" in written
    lines = toy_run.shown(written)
    assert stages_of(lines) == {"convert": (4, 4), "segment": (4, 4), "train_vqgan": (1, 1), "report": (1, 1)}
    assert "a word of a job on the terminal" in lines
    assert not [line for line in lines if "jobs done" in line or "Reading the cohort" in line]
    assert re.fullmatch(r"Done: 11 jobs in \d+ s\.", lines[-1])


# The real workflow


def real_run(folder, *words, **more):
    start = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    start += ["--directory", str(folder), "--cores", "2", "--nolock"]
    return toy_run.into_a_file([*start, "--configfile", str(ROOT / "tests/tiny.yaml"), *words], **more)


def test_the_workflow_turns_the_plugin_on_by_itself_and_the_last_words_are_of_the_results(tiny_run):
    lines = real_run(tiny_run)
    at = lines.index("Nothing to do: all results are there and up to date.")
    words = lines[at + 1 :]
    assert re.fullmatch(r"Left out: 3 of \d\d scans; results/split/unusable.tsv names them\.", words[0])
    assert "  2: segment: No lungs found: no large air-filled region inside the body." in words
    assert "  1: convert: The file is empty; copy it again." in words
    assert "Not done, because the cohort does not allow it:" in words
    assert "  extrapolation was not judged: 2 test patients are too few to tell" in words
    assert [line for line in words if line.startswith(f"Report: {tiny_run.resolve()}/results/report/index.html")]
    assert words[-1].startswith("Full log: ") and words[-2].startswith("results/ takes ")
    assert len(lines) <= 30, lines


def test_whoever_wants_snakemakes_own_output_has_it(tiny_run):
    lines = real_run(tiny_run, LUNG4D_TERMINAL="snakemake")
    assert any("Nothing to be done" in line for line in lines)
    assert not any("Nothing to do:" in line for line in lines)


@pytest.fixture
def manager():
    """Snakemake's logging as it is when the rules are read, without a plugin."""
    logger = logging.Logger("toy")
    plain = logging.StreamHandler(Stream())
    plain.name = "DefaultStreamHandler"
    logger.addHandler(plain)
    settings = MockOutputSettings()
    made = SimpleNamespace(settings=settings, get_log_handlers=list, get_logfile=lambda: ["full.log"])
    return made, logger, plain


def test_where_the_plugin_is_missing_the_output_stays_as_it_is(manager, monkeypatch):
    made, logger, plain = manager
    monkeypatch.delenv("LUNG4D_TERMINAL", raising=False)
    monkeypatch.setattr(terminal, "PLUGIN", "snakemake_logger_plugin_that_is_missing")
    assert not terminal.take_over(made, logger, plugin.no_facts) and logger.handlers == [plain]
    assert not terminal.take_over(None, logger, plugin.no_facts) and logger.handlers == [plain]


@pytest.mark.parametrize(("key", "value"), [("dryrun", True), ("verbose", True), ("debug_dag", True), (None, None)])
def test_a_dry_run_and_who_asks_for_everything_get_snakemakes_own_output(manager, monkeypatch, key, value):
    made, logger, plain = manager
    monkeypatch.setenv("LUNG4D_TERMINAL", "snakemake") if key is None else setattr(made.settings, key, value)
    if key is not None:
        monkeypatch.delenv("LUNG4D_TERMINAL", raising=False)
    assert not terminal.take_over(made, logger, plugin.no_facts) and logger.handlers == [plain]


def test_the_plugin_takes_the_place_of_snakemakes_output(manager, monkeypatch):
    made, logger, plain = manager
    monkeypatch.delenv("LUNG4D_TERMINAL", raising=False)
    monkeypatch.setattr("sys.stderr", Stream())
    assert terminal.take_over(made, logger, plugin.no_facts)
    (ours,) = logger.handlers
    assert isinstance(ours, plugin.LogHandler) and ours.full_log == "full.log" and plain not in logger.handlers
    ours.close()


def test_no_profile_names_the_plugin():
    for profile in (ROOT / "profiles").glob("*/config.yaml"):
        assert "logger" not in yaml.safe_load(profile.read_text())


def test_a_jobs_errors_go_to_its_log_alone_where_the_run_tells_them(tmp_path, monkeypatch, capsys):
    for quiet in (False, True):
        monkeypatch.setenv(terminal.QUIET_JOBS, "")  # so that it is taken back after the test
        monkeypatch.delenv(terminal.QUIET_JOBS)
        if quiet:
            terminal.quieten_jobs()
        monkeypatch.setattr("sys.excepthook", None)
        logs.start(tmp_path / "job.log").error("a fault")
        assert ("a fault" in capsys.readouterr().err) != quiet
        assert "a fault" in (tmp_path / "job.log").read_text()
    logging.getLogger().handlers.clear()
    logging.captureWarnings(False)


# The last words, of results whose answer is known


def put_status(results, stage, scan, reason="", flags=()):
    subject, session = scan
    path = results / stage / f"sub-{subject}" / f"sub-{subject}_ses-{session}_status.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ok": not reason, "stage": stage, "reason": reason, "flags": list(flags)}))


def test_reasons_that_differ_in_numbers_alone_are_one(tmp_path):
    scans = [(f"{number:03d}", "01") for number in range(5)]
    for number, scan in enumerate(scans):
        put_status(tmp_path, "convert", scan)
        put_status(tmp_path, "segment", scan, f"Only {number} slices hold a lung." if number > 1 else "")
    assert last_lines(tmp_path, scans, 2, False, ())[:3] == [
        "Left out by the tables: 2 scans.",
        "Left out: 3 of 5 scans.",
        "  3: segment: Only 2 slices hold a lung.",
    ]


def test_a_scan_that_split_left_out_as_a_copy_is_named_until_it_is_made_anew(tmp_path):
    scans = [("001", "01"), ("001", "02"), ("002", "01")]
    for scan in scans:
        put_status(tmp_path, "resample", scan)
    (tmp_path / "split").mkdir()
    table = tmp_path / "split/unusable.tsv"
    table.write_text("subject\tsession\tstage\treason\n001\t02\tsplit\tIt is the scan of visit 01.\n")
    assert last_lines(tmp_path, scans, 0, True, ())[:2] == [
        "Left out: 1 of 3 scans; results/split/unusable.tsv names them.",
        "  1: split: It is the scan of visit 01.",
    ]
    os.utime(table, (1, 1))
    assert last_lines(tmp_path, scans, 0, True, ())[0] == "Left out: no scan."


def test_a_run_that_ended_early_claims_nothing_that_it_did_not_see(tmp_path):
    put_status(tmp_path, "convert", ("1", "01"))
    (tmp_path / "convert/sub-1/sub-1_ses-02_status.json").write_text("{ cut")
    lines = last_lines(tmp_path, [("1", "01"), ("1", "02")], 0, False, {"qc", "report"})
    assert lines[:3] == [
        "Left out: no scan so far.",
        "Flagged: not known yet, the quality table was not made.",
        "Report: not made yet.",
    ]
    assert last_lines(tmp_path / "absent", [], 0, False, ()) == []


def test_flagged_scans_are_named_and_a_page_of_an_earlier_run_has_its_day(tmp_path):
    rows = [f"{number:03d}\t01\t{'Look at it.' if number else ''}" for number in range(7)]
    (tmp_path / "qc").mkdir()
    (tmp_path / "qc/qc.tsv").write_text("\n".join(["subject\tsession\tflags", *rows]) + "\n")
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").touch()
    new = last_lines(tmp_path, [], 0, True, {"qc", "report"})
    assert new[1:3] == ["Flagged: 6 scans; results/qc/qc.tsv names them.", "  sub-001 ses-01: Look at it."]
    assert "  and 2 more" in new and f"Report: {tmp_path}/report/index.html" in new
    old = last_lines(tmp_path, [], 0, False, {"qc", "report"})
    assert re.search(r"6 scans, by the quality table of \d{4}-", old[1])
    assert re.search(r"index\.html, of \d{4}-\d\d-\d\d \d\d:\d\d$", old[-2])
