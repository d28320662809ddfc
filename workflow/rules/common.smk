# Configuration, cohort and the helpers that the rules share.
# Needs: the repository's config/config.yaml, overlaid by <workdir>/config/config.yaml and by --configfile / --config;
# in a module: of another workflow by its `config:` instead of both.
# Leaves: config (checked), COHORT, and the functions below. Nothing here imports torch.
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import RerunTrigger

ROOT = Path(workflow.current_basedir.join("../..").get_path_or_uri(secret_free=True)).resolve()
SCRIPTS = ROOT / "workflow" / "scripts"
if not SCRIPTS.is_dir():
    raise WorkflowError(
        "From a git host Snakemake fetches the rules of lung4d without the library that their scripts import: clone the"
        " repository and give snakefile: the path of workflow/Snakefile in your clone."
    )
# How this run was told to get each rule's software, such as "conda": a Snakemake inside a job is told the same.
SOFTWARE = ",".join(sorted(str(method) for method in workflow.deployment_settings.deployment_method))
APPTAINER_ARGS = workflow.deployment_settings.apptainer_args
# The repository is not written to: no compiled Python beside the sources, compiled kernels where the run goes.
CACHE = Path(".snakemake") / "lung4d"
sys.dont_write_bytecode = True
os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
# Threads that wait spin for some microseconds and then sleep: long spinning takes the cores from the job beside them,
# which slowed both tenfold; sleeping at once makes two threads slower than one.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE.resolve() / "numba"))
os.environ.setdefault("MPLCONFIGDIR", str(CACHE.resolve() / "matplotlib"))
# What looks for a training's outputs when it has ended (lung4d.training.earlier_jobs): the Snakemake whose child the script is, and not
# one further up.
os.environ.update(LUNG4D_JOB_PID=str(os.getpid()))
sys.path.insert(0, str(SCRIPTS))

from lung4d.pipeline import disk_use
from lung4d.pipeline.cohort import make_cohort, read_cohort, records
from lung4d.pipeline.configuration import InvalidInput, check_config, check_writable, load_yaml, overlaid
from lung4d.pipeline.digest import Digests, settings_digest
from lung4d.pipeline.shards import STAGES, shards_of

EQUIVALENTS = ROOT / "workflow" / "code_equivalents.tsv"
DIGESTS = Digests(SCRIPTS, SCRIPTS / "lung4d", CACHE / "digests.json", EQUIVALENTS)


def load_config(given):
    """The repository's defaults, under the working folder's own config, under what the command line says.

    To a module: that is given a `config:`, and inside a shard's job, that is all there is besides the defaults: the
    working folder's config/config.yaml may be another workflow's.
    """
    defaults = ROOT / "config" / "config.yaml"
    own = Path("config/config.yaml")
    layers = [load_yaml(defaults)]
    complete = workflow.modifier.skip_configfile or workflow.config_settings.replace_workflow_config
    if own.is_file() and own.resolve() != defaults and not complete:
        layers.append(load_yaml(own))
    merged = {}
    for layer in [*layers, given]:
        merged = overlaid(merged, layer)
    check_config(merged, load_yaml(ROOT / "workflow" / "schemas" / "config.schema.yaml"))
    return merged


def load_cohort():
    """The built-in cohort or the user's tables, checked."""
    if config["cohort"] == "simulated":
        from lung4d.simulate.cohort import find_problems, simulate_tables

        if problems := find_problems(config["simulate"]):
            raise InvalidInput(problems)
        scans, participants, _ = simulate_tables(config["simulate"])
        return make_cohort(scans, participants)
    folder = ROOT / "workflow" / "schemas"
    schemas = {name: load_yaml(folder / f"{name}.schema.yaml") for name in ("scans", "participants", "qc")}
    return read_cohort(Path("config"), schemas, Path())


def stage_params(stage, **changes):
    """The stage's config section, with `changes` to it, and digests that notice what Snakemake's comparison of values
    alone would not."""
    settings = {**config.get(stage, {}), **changes}
    version = settings.pop("version", None)
    code = f"version {version}" if version else DIGESTS.of(stage)
    return {**settings, "code": code, "settings_digest": settings_digest(settings)}


def codes_of(stages):
    """Digests of the code of several stages."""
    return {stage: stage_params(stage)["code"] for stage in stages}


def per_scan(pattern, subjects=None):
    """`pattern` filled in for every scan of the cohort, or of the patients `subjects`."""
    subjects = COHORT.subjects if subjects is None else subjects
    return [
        pattern.format(subject=subject, session=session) for subject in subjects for session in COHORT.sessions(subject)
    ]


def folders(*stages):
    """Where the stages' results are, for scripts that find the files of many scans by name (lung4d.io.names)."""
    return {stage: f"results/{stage}" for stage in stages}


def of_patient(pattern):
    """Input function: `pattern` for every scan of the patient in the wildcards."""

    def files(wildcards):
        return per_scan(pattern, [wildcards.subject])

    return files


def of_baseline(pattern):
    """Input function: `pattern` for the baseline scan of the patient in the wildcards."""

    def file(wildcards):
        return pattern.format(subject=wildcards.subject, session=COHORT.baseline(wildcards.subject))

    return file


def of_row(rows, key):
    """Parameter function: `key` of the row in the wildcards, from a mapping of rows to their settings."""

    def value(wildcards):
        return rows[wildcards.row][key]

    return value


def params_of_rows(rows, stage):
    """By name of the rows (lung4d.evaluate.comparisons), the stage's parameters with what the row changes."""
    return {row.name: stage_params(stage, **row.settings) for row in rows}


def models_of_rows(rows, stage, folder):
    """The rows' models; a row with the run's own settings is the run's own model and is not trained again."""
    return [
        f"results/{stage}/model.pt" if row.is_own(config[stage]) else f"results/{folder}/{row.name}/model.pt"
        for row in rows
    ]


def weights_file(stage, key, **used_where):
    """The user's file of weights, where the stage's settings are those in which it is used; a new file counts."""
    settings = config[stage]
    used = all(settings[name] == value for name, value in used_where.items())
    return settings[key] if used and settings[key] else []


def chest_files(wildcards):
    """The real CT and masks that a simulated patient's chest may come from; Snakemake watches their times."""
    real = config["simulate"]["real_anatomy"]
    return [*real["scans"], *real["masks"]] if wildcards.subject.startswith("R") else []


def scan_source(wildcards):
    """File or folder that a scan is read from; Snakemake watches its time."""
    if SIMULATED:
        return f"results/simulate/sub-{wildcards.subject}"
    return COHORT.scan(wildcards.subject, wildcards.session)["path"]


def scan_path(wildcards):
    """What `convert` opens: the source itself, or the scan inside the simulated patient's folder."""
    path = COHORT.scan(wildcards.subject, wildcards.session)["path"]
    return f"results/simulate/{path}" if SIMULATED else path


def scan_series(wildcards):
    """The DICOM series the table asks for, or None."""
    return COHORT.scan(wildcards.subject, wildcards.session)["series"]


def scan_mask(wildcards):
    """The user's own lung mask of the scan, where the table has one."""
    return COHORT.scan(wildcards.subject, wildcards.session)["mask"] or []


def is_baseline(wildcards):
    return COHORT.baseline(wildcards.subject) == wildcards.session


def scan_records():
    """Subject, session and years of every scan, as plain records for a parameter."""
    return records(COHORT.scans[["subject", "session", "years"]])


def assigned_splits():
    """The sets that the participants table asks for, by subject."""
    if "split" not in COHORT.participants:
        return {}
    given = COHORT.participants[COHORT.participants["split"].notna()]
    return dict(zip(given["subject"], given["split"], strict=True))


def participant_sites():
    """Where the patients are followed, by subject, as far as the participants table says so."""
    if "site" not in COHORT.participants:
        return {}
    given = COHORT.participants[COHORT.participants["site"].notna()]
    return dict(zip(given["subject"], given["site"], strict=True))


def participant_records():
    """Outcomes and covariates, a record a patient, without the columns that belong to `split`."""
    return records(COHORT.participants.drop(columns=["split", "site"], errors="ignore"))


def excluded_records():
    """Scans that scans.tsv or qc.tsv leaves out, with the reason given there."""
    return records(COHORT.excluded)


def progress_picture(path, model, settings):
    """The output `path`, the course of a training of `model`, marked for Snakemake's own report."""
    labels = {"model": model, "settings": settings}
    return report(path, caption="../report/training.rst", category="Trainings", labels=labels)


def if_simulated(files):
    """`files` where the cohort is the built-in one and so has a truth to score against, else nothing."""
    return files if SIMULATED else []


def sections(rules):
    """The config sections that jobs of these rules depend on."""
    return {name: config[name] for name in ["cohort", *if_simulated(["simulate"]), *rules]}


def of_shard(pattern):
    """Parameter function: `pattern` for every patient of the shard, or for every scan where it says a session."""

    def files(wildcards):
        subjects = SHARDS[wildcards.shard]
        return per_scan(pattern, subjects) if "{session}" in pattern else expand(pattern, subject=subjects)

    return files


def shard_sources(wildcards):
    """A digest of the shard's rows of the tables, and of the times of the user's files and folders that they name.

    As inputs of the rule tens of thousands of files would take Snakemake longer than all the rest.
    """
    return sources_digest(wildcards.shard)


@cache
def sources_digest(shard):
    """The same, once a run: Snakemake asks twice."""
    scans = [scan for subject in SHARDS[shard] for scan in COHORT.scans_of(subject)]
    real = config["simulate"]["real_anatomy"]
    named = [*real["scans"], *real["masks"]] if SIMULATED else [s[key] for s in scans for key in ("path", "mask")]
    named.append(weights_file("segment", "weights", method="lungmask"))
    times = {path: os.stat(path).st_mtime_ns for path in named if path and os.path.exists(path)}
    return settings_digest({"scans": scans, "times": times})


def check_not_moved():
    """Scripts find the files of many scans below results/ by name, so that a moved input would not be all of it."""
    paths = workflow.modifier.path_modifier
    while paths is not None:
        if paths.prefix or paths.modifies_prefixes:
            raise WorkflowError(
                "lung4d reads and writes results/ in the working folder and cannot be moved by prefix: or "
                "replace_prefix: in module:, so leave that out and give the run a folder of its own with --directory."
            )
        paths = paths.inner_modifier


def training_split(wildcards):
    """Input function: split.tsv, for a training; asked when Snakemake knows its triggers, and before the first job."""
    warn_of_code_trigger()
    return "results/split/split.tsv"


@cache
def warn_of_code_trigger():
    """Once a run or a dry run, where the repository's profiles/default is not read; not again in its jobs."""
    if workflow.is_main_process and RerunTrigger.CODE in workflow.dag_settings.rerun_triggers:
        logger.warning(
            "Snakemake's rerun trigger `code` is on, which looks at the times of scripts: a fresh checkout of lung4d "
            "would train the models again. Say --rerun-triggers mtime params input software-env, here or in your "
            "profile; a change of lung4d's logic is noticed without `code`."
        )


def check_results_writable():
    """Before the first job; not in a dry run, which may look at anybody's results."""
    try:
        check_writable(Path("results"), *sorted(Path("results").glob("*")))
    except InvalidInput as error:
        raise WorkflowError(str(error)) from None


def check_preflight_alone():
    """Before the first job: Snakemake takes rules that are forced or stopped at for targets, and would run them."""
    asked = workflow.dag_settings
    others = {*asked.targets, *asked.forcerun, *asked.until} - {"preflight"}
    if "preflight" in asked.targets and others:
        named = ", ".join(sorted(map(str, others)))
        raise WorkflowError(
            f"preflight changes nothing, but with {named} in the command Snakemake would do more. Ask for preflight "
            "alone, or see with --dry-run what that command does."
        )


def print_disk_use():
    """What every stage's results take, after a run."""
    there = disk_use.used("results")
    print(f"results/ now takes {disk_use.size_in_words(sum(there.values()))}:", *disk_use.table({}, there), sep="\n")


check_not_moved()
try:
    check_writable(Path(), Path(".snakemake"))
    config = load_config(config)
    SIMULATED = config["cohort"] == "simulated"
    COHORT = load_cohort()
except InvalidInput as error:
    raise WorkflowError(str(error)) from None
SUBJECTS = COHORT.subjects

# What rules over the whole cohort wait for. They list no scan's files: split.tsv holds a digest of every usable scan's
# files, so that whatever changes in a scan changes split.tsv, which those rules have as input.
SHARDS = shards_of(SUBJECTS, config["shard"]) if config["shard"] else {}
if SHARDS:
    SCANS = expand("results/shards/scans/{shard}.tsv", shard=SHARDS)
    LATENTS = expand("results/shards/latents/{shard}.tsv", shard=SHARDS)
    GENERATED = expand("results/shards/trajectories/{shard}.tsv", shard=SHARDS)
else:
    SCANS = per_scan("results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json")
    LATENTS = expand("results/extract_latents/sub-{subject}", subject=SUBJECTS)
    GENERATED = expand("results/generate_trajectories/sub-{subject}", subject=SUBJECTS)
# What `evaluate` leaves besides its tables where there is a truth to score against.
TRUTH_SCORES = (
    {
        "segmentation": "results/evaluate/segmentation.tsv",
        "registration": "results/evaluate/registration.tsv",
    }
    if SIMULATED
    else {}
)
