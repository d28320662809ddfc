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
LINKS = CACHE / "links"
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

from pandas import DataFrame

from lung4d.convert.volumes.names import companions
from lung4d.pipeline import private, terminal
from lung4d.pipeline.digest import Digests, settings_digest
from lung4d.pipeline.door.cohort import make_cohort, read_cohort, records
from lung4d.pipeline.door.configuration import (
    can_be_read_again,
    check_named_plainly,
    check_writable,
    config_errors,
    load_yaml,
    overlaid,
    read_layers,
)
from lung4d.pipeline.door.contradictions import contradictions, uneven_processes, wrong_cohort
from lung4d.pipeline.door.invalid import InvalidInput, together_with
from lung4d.pipeline.door.name_lengths import check_commands
from lung4d.pipeline.door.stray_files import stray_settings
from lung4d.pipeline.ending import last_lines
from lung4d.pipeline.paths import FORMATTED_OR_REFUSED, as_it_is, plain_path, quoted_once, written_double
from lung4d.pipeline.shards import STAGES, shards_of
from lung4d.visits.baseline import named_session

# Snakemake hands the path of Python to a shell as it is, and looks at that of the image in every run.
sys.executable = quoted_once(sys.executable)
IMAGE = None
if "apptainer" in SOFTWARE:
    IMAGE = plain_path(ROOT / "workflow" / "envs" / "lung4d.sif", LINKS, FORMATTED_OR_REFUSED)

# `snakemake --config tree=... -- tables` makes the tables that every other target needs. What is asked for stands in the
# command alone: Snakemake itself tells it after these rules are read.
MAKES_TABLES = workflow.modifier.is_main_snakefile() and "tables" in sys.argv and bool(config.get("tree"))
EQUIVALENTS = ROOT / "workflow" / "code_equivalents.tsv"
DIGESTS = Digests(SCRIPTS, SCRIPTS / "lung4d", CACHE / "digests.json", EQUIVALENTS)


def load_config(given):
    """The repository's defaults, under the working folder's own config, under what the command line says; and what is
    wrong with them.

    To a module: that is given a `config:`, and inside a shard's job, that is all there is besides the defaults: the
    working folder's config/config.yaml may be another workflow's.
    """
    defaults = ROOT / "config" / "config.yaml"
    own = Path("config/config.yaml")
    complete = workflow.modifier.skip_configfile or workflow.config_settings.replace_workflow_config
    files = {"the repository's config/config.yaml": defaults}
    if own.is_file() and own.resolve() == defaults:
        files = {own.as_posix(): own}
    elif own.is_file() and not complete:
        files[own.as_posix()] = own
    named, given = configfiles_and_rest(given)
    schema = load_yaml(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    layers, errors = read_layers({**files, **named}, given, schema)
    if workflow.is_main_process and not complete:
        errors += stray_problems(own)
    merged = {}
    for layer in layers:
        merged = overlaid(merged, layer.values)
    errors += config_errors(merged, schema, layers)
    if not errors:
        usual = layers[0].values
        errors += contradictions(merged, usual) + uneven_processes(merged, os.environ)
        errors += [] if complete or MAKES_TABLES else wrong_cohort(merged, usual, Path("config/scans.tsv"))
        errors += simulation_problems(merged)
    if MAKES_TABLES:
        merged["tree"] = str(Path(workflow.rundir, str(merged["tree"])))  # as the shell completes it
    elif merged.get("tree") and workflow.is_main_process:
        errors.append("config, tree: the target tables alone reads it; end the command with -- tables")
    return merged, errors


def stray_problems(own):
    """Settings that nobody reads, because their file is not quite called `own`; what may be meant so is told."""
    errors, notices = stray_settings(own, workflow.configfiles)
    for notice in notices:
        logger.warning(notice)
    return errors


def simulation_problems(config):
    """What keeps the built-in cohort from being made, where it is asked for."""
    if config["cohort"] != "simulated":
        return []
    from lung4d.simulate.cohort import find_problems

    return find_problems(config["simulate"])


def configfiles_and_rest(given):
    """What --configfile names, to be read again by rules stricter than Snakemake's, and what --config says besides.

    Where `given` is not just that, or a file cannot be read again, all of it is the rest.
    """
    said = workflow.config_settings
    if given != said.overwrite_config or not can_be_read_again(said.configfiles):
        return {}, given
    here = Path.cwd()
    names = {path: path.relative_to(here) if path.is_relative_to(here) else path for path in said.configfiles}
    return {str(name): path for path, name in names.items()}, said.config


def load_cohort(sound):
    """The built-in cohort or the user's tables, checked; where the configuration is not `sound`, tables that are there;
    nobody where the tables are yet to be made."""
    if MAKES_TABLES:
        return make_cohort(DataFrame(), DataFrame())
    if not sound and (config.get("cohort") == "simulated" or not Path("config/scans.tsv").is_file()):
        return None
    if config["cohort"] == "simulated":
        from lung4d.simulate.cohort import simulate_tables

        try:
            scans, participants, _ = simulate_tables(config["simulate"])
        except ValueError:
            told = (
                "config: simulate: hardly anyone has the fewest visits; raise max_years, or lower visits or censoring"
            )
            raise InvalidInput([told]) from None
        return make_cohort(scans, participants)
    if workflow.is_main_process and (problems := private.private_problems(Path())):
        raise InvalidInput(problems)
    folder = ROOT / "workflow" / "schemas"
    schemas = {name: load_yaml(folder / f"{name}.schema.yaml") for name in ("scans", "participants", "qc")}
    return read_cohort(Path("config"), schemas, Path())


def stage_params(stage, **changes):
    """The stage's config section, with `changes` to it, and digests that notice what Snakemake's comparison of values
    alone would not."""
    settings = {**config.get(stage, {}), **changes}
    version = settings.pop("version", None)
    code = f"version {version}" if version else DIGESTS.of(stage)
    told = {key: as_it_is(value) for key, value in settings.items()}
    return {**told, "code": code, "settings_digest": settings_digest(settings)}


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


def of_first(pattern):
    """Input function: `pattern` for the first scan of the patient in the wildcards, as a rule the baseline."""

    def file(wildcards):
        return pattern.format(subject=wildcards.subject, session=COHORT.sessions(wildcards.subject)[0])

    return file


def segmented_visits(wildcards):
    """Input function of the rule that chooses the baseline: the status of every visit, in the order of time.

    The time of one after the baseline that was chosen before does not count: it cannot change the choice.
    """
    statuses = per_scan(SEGMENTED, [wildcards.subject])
    sessions, chosen = COHORT.sessions(wildcards.subject), chosen_before(wildcards.subject)
    count = sessions.index(chosen) + 1 if chosen in sessions else len(sessions)
    return [*statuses[:count], *map(ancient, statuses[count:])]


def baseline_file(wildcards):
    """Input function: the file that names the patient's baseline.

    Its time does not count where it names the first visit, whose own files are inputs beside it, nor where it is made
    again for a new visit that comes after the baseline: a visit more makes no registration of another due.
    """
    file = BASELINE.format(subject=wildcards.subject)
    sessions, chosen = COHORT.sessions(wildcards.subject), chosen_before(wildcards.subject)
    if chosen not in sessions:
        return file
    count = sessions.index(chosen) + 1
    seen = [os.path.exists(status) for status in per_scan(SEGMENTED, [wildcards.subject])]
    return ancient(file) if count == 1 or (all(seen[:count]) and not all(seen[count:])) else file


def chosen_before(subject):
    """Session of the patient's baseline by an earlier run, None where there is none."""
    return named_session(BASELINE.format(subject=subject))


def sessions_in_time(wildcards):
    """Parameter function: the patient's sessions in the order of time."""
    return COHORT.sessions(wildcards.subject)


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
    return plain_path(settings[key], LINKS) if used and settings[key] else []


def chest_files(wildcards):
    """The real CT and masks that a simulated patient's chest may come from; Snakemake watches their times."""
    real = config["simulate"]["real_anatomy"]
    chests = [*real["scans"], *real["masks"]] if wildcards.subject.startswith("R") else []
    return [plain_path(path, LINKS) for path in chests]


def scan_source(wildcards):
    """File or folder that a scan is read from, and the files beside it; Snakemake watches their times."""
    if SIMULATED:
        return f"results/simulate/sub-{wildcards.subject}"
    path = COHORT.scan(wildcards.subject, wildcards.session)["path"]
    return [plain_path(file, LINKS) for file in (path, *companions(path))]


def scan_path(wildcards):
    """What `convert` opens: the source itself, or the scan inside the simulated patient's folder."""
    path = COHORT.scan(wildcards.subject, wildcards.session)["path"]
    return f"results/simulate/{path}" if SIMULATED else path


def scan_series(wildcards):
    """The DICOM series the table asks for, or None."""
    return COHORT.scan(wildcards.subject, wildcards.session)["series"]


def scan_kernel(wildcards):
    """The reconstruction kernel that the table names, or None."""
    return COHORT.scan(wildcards.subject, wildcards.session)["kernel"]


def scan_mask(wildcards):
    """The user's own lung mask of the scan, where the table has one."""
    mask = COHORT.scan(wildcards.subject, wildcards.session)["mask"]
    return plain_path(mask, LINKS) if mask else []


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
    return {name: config[name] for name in ["cohort", *if_simulated(["simulate"]), *rules] if name in config}


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


def check_shard_size():
    """The names of a shard's results are words of one command."""
    pattern = "results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json"
    named = {shard: per_scan(pattern, subjects) for shard, subjects in SHARDS.items()}
    if errors := check_commands(named, config["shard"]):
        raise WorkflowError(str(InvalidInput(errors)))


@cache
def sources_digest(shard):
    """The same, once a run: Snakemake asks twice."""
    scans = [scan for subject in SHARDS[shard] for scan in COHORT.scans_of(subject)]
    real = config["simulate"]["real_anatomy"]
    named = [*real["scans"], *real["masks"]] if SIMULATED else [s[key] for s in scans for key in ("path", "mask")]
    named += [file for path in named if path for file in companions(path)]
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


def spell_out_environments():
    """Snakemake fills in braces in the paths of environments, which the repository's own path may hold."""
    if "{" in str(ROOT) or "}" in str(ROOT):
        for known in workflow.rules:
            if isinstance(known.conda_env, str) and Path(str(known.basedir)).resolve() == ROOT / "workflow" / "rules":
                known.conda_env = written_double(f"{known.basedir}/{known.conda_env}")


def tell_results(finished, made=()):
    """What the results hold, for the last lines of a run; `made` are the rules that had jobs, as far as is known."""
    scans = zip(COHORT.scans["subject"], COHORT.scans["session"], strict=True)
    return last_lines(Path("results"), scans, len(COHORT.excluded), finished, made)


def print_results(finished):
    """The last lines, where the logger plugin does not say them."""
    if not TOLD_BY_PLUGIN and not MAKES_TABLES and "preflight" not in sys.argv:
        print(*tell_results(finished), sep="\n")


def check_tables_alone():
    """The same of `tables`, while which no patient is known."""
    asked = workflow.dag_settings
    if MAKES_TABLES and {*asked.targets, *asked.forcerun, *asked.until} - {"tables"}:
        raise WorkflowError("tables runs alone: ask for it with nothing else, and then for the rest.")


def lend_cores():
    """Two cores for `tables` where the command names none, which Snakemake would refuse."""
    if MAKES_TABLES and workflow.resource_settings.cores is None:
        workflow.resource_settings.cores = 2
        workflow.global_resources["_cores"] = 2


def make_key():
    """The key of the scans' identities in private/, before the first job that could need it."""
    if not SIMULATED and not MAKES_TABLES and "preflight" not in sys.argv:
        private.make_private(Path())


check_not_moved()
lend_cores()
try:
    check_named_plainly(Path.cwd())
    check_writable(Path(), Path(".snakemake"))
    config, problems = load_config(config)
    SIMULATED = config.get("cohort") == "simulated"
    with together_with(problems):
        COHORT = load_cohort(sound=not problems)
except InvalidInput as error:
    raise WorkflowError(str(error)) from None
if workflow.is_main_process:
    for notice in COHORT.notices:
        logger.warning(notice)
SUBJECTS = COHORT.subjects
# Whether the logger plugin tells this run; never a job of it, nor another workflow that has this one as a module:.
TOLD_BY_PLUGIN = (
    workflow.is_main_process
    and not MAKES_TABLES
    and workflow.modifier.is_main_snakefile()
    and terminal.take_over(getattr(workflow, "logger_manager", None), logger, tell_results)
)

# What the choice of a patient's baseline rests on, and where it is written.
SEGMENTED = "results/segment/sub-{subject}/sub-{subject}_ses-{session}_status.json"
BASELINE = "results/segment/sub-{subject}/sub-{subject}_baseline.json"

# What rules over the whole cohort wait for. They list no scan's files: split.tsv holds a digest of every usable scan's
# files, so that whatever changes in a scan changes split.tsv, which those rules have as input.
SHARDS = shards_of(SUBJECTS, config["shard"]) if config["shard"] else {}
if SHARDS:
    check_shard_size()
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
