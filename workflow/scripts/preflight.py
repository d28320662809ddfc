"""preflight: is everything there that a run needs, what would it do, how long, on how much disk? Changes nothing."""

import subprocess
import sys
from pathlib import Path

from lung4d import checks, disk, plan
from lung4d.files import write_text

params = snakemake.params

command = [sys.executable, "-m", "snakemake", "--nolock", *plan.as_dry_run(params.arguments)]
dry_run = subprocess.run(command, cwd=params.started_in, capture_output=True, text=True)
if dry_run.returncode:
    raise SystemExit(f"the dry run failed:\n{dry_run.stdout[-3000:]}\n{dry_run.stderr[-3000:]}")
works = plan.read_dry_run(dry_run.stdout + dry_run.stderr)
trained = {rule: plan.training_seconds(Path("results") / rule / "checkpoints") for rule in plan.TRAININGS}
lines = [f"{params.patients} patients, {params.scans} scans; the tables and the configuration are good."]
lines += plan.plan_lines(works, plan.recorded_seconds(Path(".snakemake/metadata")), trained)

sources = sum(map(disk.folder_bytes, params.sources)) or params.scans * disk.simulated_bytes(params.config)
expected, there = disk.predicted(sources, params.scans, params.patients, params.config), disk.used("results")
due = plan.due_stages(works)
coming = {stage: size for stage, size in expected.items() if stage in due}
wanted, free = disk.still_wanted(coming, there), disk.free_bytes(".")
lines += ["", f"Disk: about {disk.in_words(wanted)} will be written, {disk.in_words(free)} are free."]
lines += disk.table(expected, there)

problems = checks.check_weights(params.config)
problems += checks.check_processes({rule: work.resources for rule, work in works.items()}, params.config)
requests = plan.requests(works.values())
if requests:
    problems += checks.check_requests(requests)
    lines += ["", *(f"SLURM: {request}" for request in requests)]
else:
    lines += ["", f"GPU: {checks.find_gpu() or 'none here; everything runs on the CPU, trainings take days'}"]
if wanted > free:
    problems.append(f"{disk.in_words(wanted)} will be written, {disk.in_words(free)} are free; make room")

lines += ["", *(f"Problem: {problem}." for problem in problems)] if problems else ["", "Nothing stands in the way."]
text = "\n".join(lines)
write_text(text + "\n", snakemake.log[0])
print(text)
if problems:
    raise SystemExit(1)
