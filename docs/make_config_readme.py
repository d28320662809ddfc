"""Write config/README.md from the schemas and the defaults: `make docs`. A test keeps the file up to date."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
HEADER = """\
# Configuration

`config.yaml` holds the defaults. Three layers lie over each other: the repository's `config/config.yaml`, the
`config/config.yaml` of the folder you work in (`snakemake --directory FOLDER`), and `--configfile FILE` or
`--config` on the command line. A file of yours names only what it changes.
`paper.yaml` sets every value as the paper literally has it; `demo.yaml` is the built-in cohort at a reduced size.
An unknown key, a wrong value or a bad row stops the run before any job, with all errors at once.

## Your tables

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
series taken, how many there were, and how many the rule could choose from.

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

Names, dates and numbers inside the files stay out of `results/`. What you write yourself does not: `subject`,
`session`, `site` and reasons appear as they are, and Snakemake keeps `path` and `series` in `.snakemake/`. Use
pseudonyms, and folders that are not named after patients.

## The keys

{keys}"""


def load(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


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
        keys=key_tables(load("workflow/schemas/config.schema.yaml"), load("config/config.yaml")),
    )


if __name__ == "__main__":
    (ROOT / "config/README.md").write_text(render(), encoding="utf-8")
