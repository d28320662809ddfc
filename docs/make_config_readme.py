"""Write config/README.md from the schemas and the defaults: `make docs`. A test keeps the file up to date."""

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from lung4d.pipeline import disk_use, estimate
from lung4d.pipeline.door.configuration import overlaid
from lung4d.pipeline.dry_run import duration_in_words

HEADER = """\
# Configuration

`config.yaml` holds the defaults. Three layers lie over each other: the repository's `config/config.yaml`, the
`config/config.yaml` of the folder you work in (`snakemake --directory FOLDER`), and `--configfile FILE` or
`--config` on the command line. A file of yours names only what it changes.
`small.yaml` is for a laptop without a GPU, `paper.yaml` sets every value as the paper literally has it, `demo.yaml`
is the built-in cohort at a reduced size. An unknown key, one given twice, a wrong value, keys that contradict each
other or a bad row stop the run before any job, with all errors at once. Numbers are plain decimals (`0.2`, `20000`,
`3e-4`), with or without quotes; a section with nothing in it is as if it were not there; files are UTF-8.

## Three sizes

{sizes}

## Your tables

The target `tables` makes them of a folder of DICOM, NIfTI, NRRD or MetaImage files, in any order and with any names:

```
snakemake --directory FOLDER --config tree=/path/to/the/scans -- tables
```

It reads headers alone. A patient is a PatientID, or a folder `sub-*` of BIDS, whose label is kept, or for volume files
the first folder; a row is a study with a lung series. Patients get random pseudonyms and studies numbers; `path` leads
to links in `private/`, where the tables `patients.tsv`, `visits.tsv` and `series.tsv` say who is who and why each
series was taken or not. What it doubts has the reason in `exclude`: birth dates or names that contradict each other,
two PatientIDs with one name and birth date, two studies on a day, the same image twice, dates that cannot be, years
that run back. Clear the cell where all is well. A second run keeps every name, puts new rows below the old ones, or
into `scans.new.tsv` where you have edited the table, and never changes an old row. A study older than the patient's
first one changes all years: the patient's rows go to `scans.new.tsv` too, and the age to `participants.new.tsv`; move
them by hand. Volume files have no dates: give years in `years.tsv` at the top of the tree (`path`, and `years` or
`date`), in `_sessions.tsv` or `_scans.tsv` of BIDS, or in `scans.tsv`. A mask beside a scan is taken for that of its
lungs where it has the scan's grid and says lung in its name.

`private/` holds a key as well, made before the first job of any run on your tables. With it `convert` leaves hashes of
PatientID, name, birth date and sex there, and the column `identity` of `results/qc/qc.tsv` says whether a patient's
scans agree. Where `private/` is lost, tables that were written by hand go on with "unknown"; those made of it stop.

`config/scans.tsv`, tab-separated, a row per scan:

```
subject	session	years	path
001	01	0	scans/001/first_ct
001	02	1.32	scans/001/second_ct.nii.gz
```

{scans}

Which series of a DICOM folder is taken: axial CT of at least 10 slices, no localiser, reformat or projection; of those
the one that covers the lungs (240 mm, or 90 % of the longest), then supine and not in expiration, then with the
thinnest slices, then with a lung (sharp) kernel, then with the lowest number. `series` overrides the rule; a
folder of several studies is refused, because it may hold several visits. The sidecar in `results/convert/` names the
series taken, how many there were, and how many the rule could choose from. What is one series is decided by geometry,
not by numbers: passes that continue each other and series torn by their UIDs are joined, copies of slices dropped, and
every slice of the series that was left out is counted in a flag. Links to files and folders are followed. Breath, pose
and contrast medium are read from the header and from the words of the series' names (English, German, French, Italian,
Spanish, Dutch, Portuguese); a visit that differs in them, in kernel or in slice thickness from its baseline is flagged.

`config/participants.tsv`, a row per patient; without it the workflow runs to the end, without survival:

```
subject	followup_years	event	age	sex	smoking
001	3.4	1	67	M	ex
```

{participants}

`config/qc.tsv`, optional, a row per scan that you leave out after looking at the report; the next run does without it,
as with `exclude`, and only what used the scan runs again:

```
subject	session	reason
001	02	the apex is cut off
```

{qc}

A cell is read as anybody would read it, or the row is named and nothing starts: numbers have a decimal point, dates are
YYYY-MM-DD, every row has a cell for each column. Empty, `n/a`, `NaN`, `-`, `?` and `unknown` stand for not known. Rows
of participants.tsv are matched to scans.tsv by `subject` to the letter; how many match is said before the first job,
by `preflight` and in the report.

Names, dates and numbers inside the files stay out of `results/`. What you write yourself does not: `subject`,
`session`, `site`, `kernel` and reasons appear as they are, and Snakemake keeps `path` and `series` in `.snakemake/`.
Use pseudonyms, and folders that are not named after patients.

## The keys

Five of them are changed by most people:

{five}

All of them, by stage:

{keys}"""

SIZES = ("small.yaml", "config.yaml", "paper.yaml")
PATIENTS = (10, 60, 200)
VISITS, VOXELS, CORES = 3, 512 * 512 * 250, 8
SIZES_NOTE = """\
A first run from {visits} visits a patient, of 512 x 512 x 250 voxels, on {cores} cores without bf16.
All of it is estimated, to a factor of two or three, from what [the benchmarks](../benchmarks/README.md) measured of a
stage and a voxel (`workflow/scripts/lung4d/pipeline/estimate.py`); a GPU is taken for 20 TFLOP a second and was not
measured. The paper's authors report 10 days and 15 hours for their two trainings on an A100 of 80 GB. `snakemake
preflight` estimates the run of your own folder. Memory is that of the machine without a GPU; `--cores 4` halves what
the scans' stages take.
"""
FIVE = {
    "resample.shape": "detail against time: half as many voxels a side are an eighth of the work and of the disk",
    "train_vqgan.steps": "how long stage 1 trains; move `train_vqgan.gan_start` with it, which is to stay below",
    "segment.method": "`lungmask` where masks of the default are bad in your scans; needs weights or a network",
    "generate_trajectories.horizon": "how many years after the last scan are drawn",
    "survival.covariates": "columns of participants.tsv that every survival model has; leave out those you lack",
}


def load(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def size_table(defaults: dict) -> str:
    """Time, memory and disk of a first run, by size and number of patients."""
    rows = ["| size | patients | without a GPU | with a GPU | memory | disk |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for file in SIZES:
        config = overlaid(defaults, load(f"config/{file}"))
        for patients in PATIENTS:
            cohort = estimate.CohortSize(patients, patients * VISITS, VOXELS)
            jobs = estimate.first_run(config, cohort)
            times = []
            for gpu in (False, True):
                seconds = estimate.job_seconds(config, cohort, estimate.Machine(CORES, gpu=gpu))
                times.append(duration_in_words(estimate.clock_seconds(jobs, seconds, CORES)))
            memory = disk_use.size_in_words(estimate.memory_bytes(config, cohort, CORES))
            disk = sum(disk_use.predicted(2 * VOXELS * cohort.scans, cohort.scans, patients, config).values())
            cells = [f"`{file}`" if patients == PATIENTS[0] else "", str(patients), *times, memory]
            rows.append(f"| {' | '.join([*cells, disk_use.size_in_words(disk)])} |")
    return "\n".join(rows) + "\n\n" + SIZES_NOTE.format(visits=VISITS, cores=CORES).strip()


def five_table(defaults: dict) -> str:
    rows = ["| key | default | what it is for |", "| --- | --- | --- |"]
    for name, words in FIVE.items():
        section, key = name.split(".")
        rows.append(f"| `{name}` | `{text(defaults[section][key])}` | {words} |")
    return "\n".join(rows)


def column_table(schema: dict) -> str:
    rows = ["| column | needed | what |", "| --- | --- | --- |"]
    for name, entry in schema["properties"].items():
        needed = "yes" if name in schema["required"] else ""
        rows.append(f"| `{name}` | {needed} | {entry['description']} |")
    return "\n".join(rows)


def key_tables(schema: dict, defaults: dict) -> str:
    parts = []
    for section, entry in schema["properties"].items():
        if entry["type"] != "object":
            parts.append(f"### `{section}`: `{text(defaults[section])}`\n\n{entry['description']}\n")
            continue
        parts.append(f"### `{section}`\n\n{entry['description']}\n")
        if entry.get("properties"):
            rows = ["| key | default | what |", "| --- | --- | --- |"]
            rows += key_rows(entry["properties"], defaults[section])
            parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def key_rows(properties: dict, defaults: dict, above: str = "") -> list[str]:
    """A row per key, those of a section within the section below it."""
    rows = []
    for key, value in properties.items():
        inner = value.get("properties")
        default = "" if inner else f"`{text(defaults[key])}`"
        rows.append(f"| `{above}{key}` | {default} | {value['description']} |")
        rows += key_rows(inner, defaults[key], f"{above}{key}.") if inner else []
    return rows


def text(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).split("\n")[0].removesuffix("...").strip()


def render() -> str:
    return HEADER.format(
        scans=column_table(load("workflow/schemas/scans.schema.yaml")),
        participants=column_table(load("workflow/schemas/participants.schema.yaml")),
        qc=column_table(load("workflow/schemas/qc.schema.yaml")),
        sizes=size_table(load("config/config.yaml")),
        five=five_table(load("config/config.yaml")),
        keys=key_tables(load("workflow/schemas/config.schema.yaml"), load("config/config.yaml")),
    )


if __name__ == "__main__":
    (ROOT / "config/README.md").write_text(render(), encoding="utf-8")
