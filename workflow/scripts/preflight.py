"""preflight: is everything there that a run needs, what would it do, how long, on how much disk? Changes nothing."""

import subprocess
import sys
from pathlib import Path

from lung4d.evaluate.findings import ENOUGH
from lung4d.io.atomic import write_text
from lung4d.pipeline import disk_use, dry_run, estimate, preflight
from lung4d.survival.records import FEW_EVENTS
from lung4d.visits import power

params = snakemake.params

command = [sys.executable, "-m", "snakemake", "--nolock", *dry_run.as_dry_run(params.arguments)]
told = subprocess.run(command, cwd=params.started_in, capture_output=True, text=True)
if told.returncode:
    raise SystemExit(f"the dry run failed:\n{told.stdout[-3000:]}\n{told.stderr[-3000:]}")
works = dry_run.read_dry_run(told.stdout + told.stderr)
sources = sum(map(disk_use.folder_bytes, params.sources)) or params.scans * disk_use.simulated_bytes(params.config)
voxels = sum(map(estimate.voxels_of, params.sources)) or sources / 2
cohort = estimate.CohortSize(params.patients, params.scans, voxels / params.scans)
trained = {rule: dry_run.training_seconds(Path("results") / rule / "checkpoints") for rule in dry_run.TRAININGS}
lines = [f"{params.patients} patients, {params.scans} scans; the tables and the configuration are good."]
lines += params.notices
sets = power.count_sets(params.visits, params.participants, params.assigned, params.config["split"])
lines += power.count_lines(params.visits, sets)
enough = power.Enough(ENOUGH, params.config["survival"]["min_events"], FEW_EVENTS)
if missing := power.cannot_show(sets, params.config, enough):
    lines += ["This cohort cannot show:", *(f"  {sentence}." for sentence in missing)]

requests, gpu = dry_run.requests(works.values()), preflight.find_gpu()
machine = estimate.Machine(params.cores or 1, estimate.bf16_flag(Path("/proc/cpuinfo")), bool(requests or gpu))
recorded = dry_run.recorded_seconds(Path(".snakemake/metadata"))
estimated = estimate.job_seconds(params.config, cohort, machine)
lines += ["", *dry_run.plan_lines(works, recorded, trained, estimated)]
if works and not requests:
    jobs = {rule: work.jobs for rule, work in works.items()}
    clock = estimate.clock_seconds(jobs, estimated | recorded, machine.cores)
    lines.append(estimate.in_words(clock, cohort, machine, bool(recorded.keys() & jobs.keys())))

expected, there = disk_use.predicted(sources, params.scans, params.patients, params.config), disk_use.used("results")
due = dry_run.due_stages(works)
coming = {stage: size for stage, size in expected.items() if stage in due}
wanted, free = disk_use.still_wanted(coming, there), disk_use.free_bytes(".")
lines += ["", f"Disk: about {disk_use.size_in_words(wanted)} will be written, {disk_use.size_in_words(free)} are free."]
lines += disk_use.table(expected, there)

problems = preflight.check_processes({rule: work.resources for rule, work in works.items()}, params.config)
if requests:
    problems += preflight.check_requests(requests)
    lines += ["", *(f"SLURM: {request}" for request in requests)]
else:
    lines += ["", f"GPU: {gpu or 'none here; everything runs on the CPU'}"]
if wanted > free:
    problems.append(
        f"{disk_use.size_in_words(wanted)} will be written, {disk_use.size_in_words(free)} are free; make room"
    )

lines += ["", *(f"Problem: {problem}." for problem in problems)] if problems else ["", "Nothing stands in the way."]
text = "\n".join(lines)
write_text(text + "\n", snakemake.log[0])
print(text)
if problems:
    raise SystemExit(1)
