"""How it was done: methods, deviations from the paper, references, software, settings."""

import json

import yaml

from lung4d.report import methods_text
from lung4d.report.page import Code, Fold, Reportlet, Section, Table, Words
from lung4d.report.results import Results


def section(results: Results) -> Section:
    text = methods_text.describe(results.config, results.simulated)
    deviations = tuple(
        (d.what, d.paper, d.ours, methods_text.in_this_run(d, results.config)) for d in methods_text.DEVIATIONS
    )
    versions = tuple(methods_text.software())
    settings = yaml.safe_dump(json.loads(json.dumps(results.config, default=str)), sort_keys=False, allow_unicode=True)
    reportlets = (
        Reportlet(
            "Methods",
            "Written from this run's settings; numbers in brackets are the references below.",
            (Words(tuple(text.paragraphs)),),
        ),
        Reportlet(
            "Where this run departs from the paper",
            "The paper is reference 1. “In this run” gives the settings that were used.",
            (Table(("What", "Paper", "Here, and why", "In this run"), deviations),),
        ),
        Reportlet("References", "", (Words(tuple(f"{i}. {r}" for i, r in enumerate(text.references, start=1))),)),
        Reportlet(
            "Software and settings",
            "",
            (
                Fold("Software versions", (Table(("Package", "Version"), versions),)),
                Fold("All settings of this run", (Code(settings),)),
            ),
        ),
    )
    return Section("methods", "How it was done", "", reportlets)
