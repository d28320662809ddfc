# Functions for the inputs and parameters of the rules.
# Needs: common.smk.


def stage_params(stage, **changes):
    """The stage's config section, with `changes` to it, and digests that notice what Snakemake's comparison of values
    alone would not."""
    settings = {**config.get(stage, {}), **changes}
    version = settings.pop("version", None)
    code = f"version {version}" if version else DIGESTS.of(stage)
    told = {key: as_it_is(value) for key, value in settings.items()}
    return {**told, "code": code, "settings_digest": settings_digest(settings)}


def simulation():
    """What the built-in cohort is made from."""
    from lung4d.simulate.cohort import used_settings

    return used_settings(config["simulate"])


def codes_of(stages):
    """Digests of the code of several stages."""
    return {stage: stage_params(stage)["code"] for stage in stages}


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


def visits_until(wildcards):
    """The patient's sessions up to that of the wildcards, in the order of time: the baseline is one of them."""
    sessions = COHORT.sessions(wildcards.subject)
    return sessions[: sessions.index(wildcards.session) + 1]


def segmented_until(wildcards):
    """Input function: the status of these visits after segmentation. Of later ones no registration knows."""
    return [SEGMENTED.format(subject=wildcards.subject, session=session) for session in visits_until(wildcards)]


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


def forecast_files():
    """The volumes of evaluate.forecasts, by somebody else's method; a new one counts."""
    return [plain_path(str(path), LINKS) for path in volumes_below(config["evaluate"]["forecasts"])]


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


def training_split(wildcards):
    """Input function: split.tsv, for a training; asked when Snakemake knows its triggers, and before the first job."""
    warn_of_code_trigger()
    return "results/split/split.tsv"
