# What is looked at before the first job, and what is said after the last one.
# Needs: common.smk and functions.smk. Leaves: TOLD_BY_PLUGIN, and what workflow/Snakefile calls around the jobs.


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


def lend_cores():
    """Two cores for `tables` where the command names none, which Snakemake would refuse."""
    if MAKES_TABLES and workflow.resource_settings.cores is None:
        workflow.resource_settings.cores = 2
        workflow.global_resources["_cores"] = 2


def spare_cores():
    """Before the first job: no limit of jobs a second where it is Snakemake's own (100). With one, it looks for work
    once more a second for each job that is done, which after some 50 jobs took a third of a core."""
    limit = workflow.scheduler.job_rate_limiter
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def check_shard_size():
    """The names of a shard's results are words of one command."""
    pattern = "results/resample/sub-{subject}/sub-{subject}_ses-{session}_status.json"
    named = {shard: per_scan(pattern, subjects) for shard, subjects in SHARDS.items()}
    if errors := check_commands(named, config["shard"]):
        raise WorkflowError(str(InvalidInput(errors)))


def check_rows_of_table3():
    """Before the trainings of the other rows: the scans must fit the compression of each."""
    rows = {row.name: overlaid(config, {"train_vqgan": row.settings}) for row in TABLE3}
    told = [f"table3, row {name}: {said}" for name, own in rows.items() for said in shape_and_compression(own, config)]
    if told:
        raise WorkflowError(str(InvalidInput(told)))


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


def check_tables_alone():
    """The same of `tables`, while which no patient is known."""
    asked = workflow.dag_settings
    if MAKES_TABLES and {*asked.targets, *asked.forcerun, *asked.until} - {"tables"}:
        raise WorkflowError("tables runs alone: ask for it with nothing else, and then for the rest.")


def make_key():
    """The key of the scans' identities in private/, before the first job that could need it."""
    if not SIMULATED and not MAKES_TABLES and "preflight" not in sys.argv:
        private.make_private(Path())


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


check_not_moved()
lend_cores()
if SHARDS:
    check_shard_size()
# Whether the logger plugin tells this run; never a job of it, nor another workflow that has this one as a module:.
TOLD_BY_PLUGIN = (
    workflow.is_main_process
    and workflow.modifier.is_main_snakefile()
    and terminal.take_over(getattr(workflow, "logger_manager", None), logger, tell_results)
)
