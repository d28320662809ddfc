"""The whole report from a run's results."""

from lung4d.report.chapters import (
    about,
    autoencoder,
    codebook,
    forecasting,
    imaging,
    overview,
    readouts,
    survival,
    trajectories,
)
from lung4d.report.page import Page, render
from lung4d.report.results import Results

SIMULATED = (
    "This is the built-in simulated cohort. It shows that the pipeline works; its numbers say nothing about patients."
)


def report(results: Results) -> str:
    """One offline HTML page. A part that has nothing to show says so in words."""
    sections = (
        overview.summary_section(results),
        overview.attention_section(results),
        imaging.segmentation_section(results),
        imaging.registration_section(results),
        autoencoder.section(results),
        codebook.section(results),
        trajectories.section(results),
        readouts.section(results),
        forecasting.section(results),
        survival.section(results),
        about.section(results),
    )
    page = Page(
        title=results.title,
        subtitle="Longitudinal lung CT of pulmonary fibrosis",
        notice=SIMULATED if results.simulated else "",
        facts=overview.facts(results),
        sections=sections,
    )
    return render(page)
