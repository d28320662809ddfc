"""The files around the code: the version and the linters are the same wherever they are named."""

import re

import pytest
import yaml

import lung4d
from helpers.running import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for name in ("benchmarks", "config", "docs") for page in (ROOT / name).glob("*.md"))]
)


def test_the_version_is_the_same_in_every_file_that_names_it():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    releases = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert citation["version"] == lung4d.__version__
    assert lung4d.__version__ in releases


def test_releases_are_in_the_changelog_from_the_last_to_the_first():
    releases = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    numbers = [tuple(map(int, release.split(",")[0].split("."))) for release in releases]
    assert numbers == sorted(set(numbers), reverse=True)
    assert not any("unreleased" in release for release in releases[1:])


def test_the_hooks_before_a_commit_are_the_linters_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M).group(1)
    linters = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == linters


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_make_is_asked_for_what_it_has(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]
    asked = re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.M)
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M)
    assert set(asked) <= set(targets)
