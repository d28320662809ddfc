# Configuration and cohort.
# Needs: the repository's config/config.yaml, overlaid by <workdir>/config/config.yaml and by --configfile / --config;
# in a module: of another workflow by its `config:` instead of both.
# Leaves: config (checked), COHORT, per_scan, and the names in capitals. Nothing here imports torch.
import os
import sys
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
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
# What looks for a training's outputs when it has ended (lung4d.training.earlier_jobs): the Snakemake whose child the
# script is, and not one further up.
os.environ.update(LUNG4D_JOB_PID=str(os.getpid()))
sys.path.insert(0, str(SCRIPTS))

from pandas import DataFrame

from lung4d.convert.volumes.names import companions
from lung4d.io.names import volumes_below
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
from lung4d.pipeline.door.contradictions import contradictions, shape_and_compression, uneven_processes, wrong_cohort
from lung4d.pipeline.door.forecast_times import times_of_forecasts
from lung4d.pipeline.door.invalid import InvalidInput, together_with
from lung4d.pipeline.door.joins import unknown_covariates
from lung4d.pipeline.door.name_lengths import check_commands
from lung4d.pipeline.door.stray_files import stray_settings
from lung4d.pipeline.ending import last_lines
from lung4d.pipeline.paths import FORMATTED_OR_REFUSED, as_it_is, plain_path, quoted_once, written_double
from lung4d.pipeline.preflight import check_forecasts, check_tensorboard, check_weights
from lung4d.pipeline.shards import STAGES, shards_of

# Snakemake hands the path of Python to a shell as it is, and looks at that of the image in every run.
sys.executable = quoted_once(sys.executable)
IMAGE = None
if "apptainer" in SOFTWARE:
    IMAGE = plain_path(ROOT / "workflow" / "envs" / "lung4d.sif", LINKS, FORMATTED_OR_REFUSED)

# `snakemake --config tree=... -- tables` makes the tables that every other target needs. What is asked for stands in the
# command alone: Snakemake itself tells it after these rules are read.
MAKES_TABLES = workflow.modifier.is_main_snakefile() and "tables" in sys.argv and config.get("tree") not in (None, "")
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
    tree = tree_as_named(given.get("tree"))
    named, given = configfiles_and_rest(given)
    if MAKES_TABLES:
        given = {**given, "tree": tree}
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
    if not errors and workflow.is_main_process:
        told = check_weights(merged) + check_forecasts(merged) + check_tensorboard(merged, has_tensorboard())
        errors += [f"config: {sentence}" for sentence in told]
    if not MAKES_TABLES and merged.get("tree") and workflow.is_main_process:
        errors.append("config, tree: the target tables alone reads it; end the command with -- tables")
    if not MAKES_TABLES and sys.argv[-2:] == ["--", "tables"] and workflow.modifier.is_main_snakefile():
        errors.append("config, tree: it is empty; give the folder of the scans, as --config tree=/path/to/tree")
    return merged, errors


def tree_as_named(value):
    """The path of the tree, from where the command was given, as the shell completes it, and as the command names it:
    Snakemake takes 007 for a number, and what is behind " #" for a comment."""
    said = [word.removeprefix("tree=") for word in sys.argv if word.startswith("tree=")]
    return str(Path(workflow.rundir, os.path.expanduser(said[-1] if said else str(value))))


def stray_problems(own):
    """Settings that nobody reads, because their file is not quite called `own`; what may be meant so is told."""
    errors, notices = stray_settings(own, workflow.configfiles)
    for notice in notices:
        logger.warning(notice)
    return errors


def has_tensorboard():
    """Whether trainings will find it: here, or in the environment that Snakemake makes for them."""
    if SOFTWARE:
        return "tensorboard" in (ROOT / "workflow" / "envs" / "train_vqgan.yaml").read_text(encoding="utf-8")
    return find_spec("tensorboard") is not None


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
        from lung4d.simulate.tables import simulate_tables

        try:
            scans, participants, _ = simulate_tables(config["simulate"])
        except ValueError:
            told = (
                "config: simulate: hardly anyone has the fewest visits; raise max_years, or lower visits, censoring "
                "or pace"
            )
            raise InvalidInput([told]) from None
        return make_cohort(scans, participants)
    if workflow.is_main_process and (problems := private.private_problems(Path())):
        raise InvalidInput(problems)
    folder = ROOT / "workflow" / "schemas"
    schemas = {name: load_yaml(folder / f"{name}.schema.yaml") for name in ("scans", "participants", "qc")}
    return read_cohort(Path("config"), schemas, Path())


def per_scan(pattern, subjects=None):
    """`pattern` filled in for every scan of the cohort, or of the patients `subjects`."""
    subjects = COHORT.subjects if subjects is None else subjects
    return [
        pattern.format(subject=subject, session=session) for subject in subjects for session in COHORT.sessions(subject)
    ]


try:
    check_named_plainly(Path.cwd())
    check_writable(Path(), Path(".snakemake"))
    config, problems = load_config(config)
    SIMULATED = config.get("cohort") == "simulated"
    with together_with(problems):
        COHORT = load_cohort(sound=not problems)
    if not SIMULATED:
        unknown = unknown_covariates(COHORT.participants, config["survival"]["covariates"])
        COHORT = replace(COHORT, notices=(*COHORT.notices, *unknown))
    last = max(COHORT.scans["years"], default=0.0)
    with together_with([f"config: {told}" for told in times_of_forecasts(config, float(last))]):
        pass
except InvalidInput as error:
    raise WorkflowError(str(error)) from None
if workflow.is_main_process:
    for notice in COHORT.notices:
        logger.warning(notice)
SUBJECTS = COHORT.subjects

# What the choice of a patient's baseline rests on.
SEGMENTED = "results/segment/sub-{subject}/sub-{subject}_ses-{session}_status.json"

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
