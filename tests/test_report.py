"""The report on made-up results: names what must be named, loads nothing, survives whatever is absent."""

import base64
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from PIL import Image

from helpers.fake_results import PICTURED, make, table, write_report
from lung4d.figures.charts import risk_times
from lung4d.io.tables import read_table
from lung4d.report import formatting, methods_text
from lung4d.report.chapters.overview import unusable_scans
from lung4d.report.deviations import DEVIATIONS
from lung4d.report.page import Code, Page, Reportlet, Section, Table, Words, render
from lung4d.report.references import REFERENCES
from lung4d.report.report import report
from lung4d.report.results import Images, Results, Tables, choose_patients

SURVIVAL = ("cindex", "selection", "kaplan_meier", "survival_words")
PICTURES = ("codes_decoded", "code_exemplars")
NO_SCANS = {"folders": dict.fromkeys(PICTURED, "nowhere")}
VOID = {"meta", "img", "source", "input", "br", "link"}
ODD = 'No lungs <script>alert("x")</script> & <b>found</b>'


class Outline(HTMLParser):
    """Checks nesting, and collects what a browser would load, ids, anchors and visible text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.loads, self.ids, self.anchors, self.text, self.tags, self.alts = [], [], [], [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.loads += [values[key] for key in ("src", "srcset", "data", "poster") if key in values]
        self.loads += [values["href"]] if tag == "link" else []
        self.anchors += [values["href"]] if tag == "a" else []
        self.ids += [values["id"]] if "id" in values else []
        self.alts += [values.get("alt", "")] if tag == "img" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return folder, make(folder, patients=7, odd=ODD)


@pytest.fixture(scope="module")
def html(made):
    folder, results = made
    return write_report(folder, results).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(html):
    return Outline(html)


def without(made, *names, **params):
    """The made-up results without some of the inputs, with other params."""
    folder, results = made
    inputs = {name: value for name, value in results.inputs.items() if name not in names}
    changed = type(results)(inputs=inputs, params=results.params | params)
    return Outline(write_report(folder / "again", changed).read_text(encoding="utf-8"))


def said(outline):
    return re.sub(r"\s+", " ", " ".join(outline.text))


def test_every_unusable_flagged_excluded_and_single_scan_is_named(outline):
    text = said(outline)
    assert "002 09 finding the lungs No lungs" in re.sub(r"\s+", " ", text)
    assert "Only one lung was found. The lung volume is 45% smaller than at the baseline visit." in text
    assert "contrast agent" in text
    assert "1 patient has one usable visit: 007." in text


def test_follow_ups_taken_otherwise_are_counted_and_do_not_drown_the_flagged_scans(made, outline):
    qc = read_table(made[1].inputs["qc"])
    follow_ups = int((qc["years"] > 0).sum())
    text = said(outline)
    assert f"{follow_ups} follow-ups taken otherwise than the baseline (kernel {follow_ups}): see Attention." in text
    assert f"Otherwise than at the baseline Follow-ups Kernel {follow_ups}" in text
    assert f"{follow_ups} follow-ups, one by one" in text
    assert "1 scan went through all the same." in text
    assert "Set test: of 12 withheld visits 3 are taken otherwise than the baseline (breath 1, kernel 2)" in text
    assert re.search(r"Taken otherwise than the patient's baseline: .*\(kernel\)", text)


def test_nothing_is_loaded_from_anywhere(html, outline):
    assert outline.loads and all(load.startswith("data:image/png;base64,") for load in outline.loads)
    assert all(anchor.startswith("#") for anchor in outline.anchors)
    style = re.search(r"<style>(.*?)</style>", html, re.S).group(1)
    assert "url(" not in style and "@import" not in style
    assert "script" not in outline.tags and "link" not in outline.tags


def test_pictures_decode_and_are_described(outline):
    for load in outline.loads:
        picture = Image.open(io.BytesIO(base64.b64decode(load.split(",", 1)[1])))
        picture.load()
        assert min(picture.size) > 20
    assert len(outline.alts) > 10 and all(len(alt) > 10 for alt in outline.alts)


def test_contents_lead_to_sections_and_ids_are_unique(outline):
    assert len(set(outline.ids)) == len(outline.ids)
    assert [anchor[1:] for anchor in outline.anchors] == [name for name in outline.ids if not re.match(r"r\d", name)]


def test_odd_strings_are_text_and_not_markup(html, outline):
    assert "<script" not in html
    assert ODD in said(outline)


def test_size_stays_modest(html):
    assert len(html) < 8e6


def test_numbers_of_the_run_are_there_with_intervals(outline):
    text = said(outline)
    assert "MSE × 1000" in text and "Last scan carried forward" in text
    assert re.search(r"[−+]\d\.\d\d \[[−+]\d\.\d\d to [−+]\d\.\d\d\]", text)
    assert "C-index is 0.71 [0.51 to 0.91] on the real third scan, 0.66 [0.46 to 0.86] on the generated" in text
    assert "3 events in the fitted patients" in text
    assert "180" in text and "0.973" in text
    assert "scans to be expected are off by" in text
    assert "keep the last scan's noise and are off by" in text
    assert re.search(
        r"Mean density, HU: .*? test 40, 110 91 \[87 to 96\] as promised 52 99, 90 3 5 change below what a repeat", text
    )


def test_settings_are_given_as_used(outline):
    assert "perceptual_weight: 4.0" in said(outline)


@pytest.mark.slow
def test_page_is_the_same_for_the_same_results(made):
    assert said(without(made, *PICTURES, **NO_SCANS)) == said(without(made, *PICTURES, **NO_SCANS))


def test_map_of_the_results_folder_is_written(made, html):
    assert "generate_trajectories" in (made[0] / "README.md").read_text(encoding="utf-8")


def test_without_outcomes_the_page_says_so(made):
    text = said(without(made, *SURVIVAL, *PICTURES, participants=[], **NO_SCANS))
    assert "There are no outcomes." in text and "events known none" in text


def test_the_codebook_says_which_codes_it_shows(made, outline):
    text = said(outline)
    assert "the 256 most common of 300, which fill" in text and "30 codes of 300, in brackets" in text
    assert "the 100 most common of 300" in text
    assert "There is no codebook to show." in said(without(made, "codebook", *PICTURES, **NO_SCANS))


def test_without_pictures_the_page_says_so(made):
    text = said(without(made, *PICTURES, **NO_SCANS))
    for words in ("There is no mask to show", "No scan was generated", "no reconstruction to show"):
        assert words in text


def test_with_nothing_but_settings_there_is_a_page(made):
    text = said(without(made, *made[1].inputs, participants=[], simulated=False))
    assert "No scan could be used" in text
    assert "simulated cohort" not in text


def test_tables_without_rows_give_words(made, tmp_path):
    results = made[1]
    empty = {
        name: table(pd.read_csv(path, sep="\t").iloc[:0], tmp_path / f"{name}.tsv")
        for name, path in results.inputs.items()
        if isinstance(path, str) and path.endswith(".tsv")
    }
    words = dict.fromkeys(("evaluate_words", "survival_words"), "nowhere")
    changed = type(results)(inputs=results.inputs | empty | words, params=results.params)
    text = said(Outline(write_report(tmp_path, changed).read_text(encoding="utf-8")))
    assert "No scan could be used" in text and "no test patient has three usable visits" in text


@pytest.mark.slow
def test_one_patient_with_one_visit(tmp_path):
    results = make(tmp_path, patients=1, single=1, outcomes=False)
    text = said(Outline(write_report(tmp_path, results).read_text(encoding="utf-8")))
    assert "No patient has a registered follow-up scan" in text
    assert "no test patient has three usable visits" in text


def test_patients_to_show_are_held_out_ones_with_long_series():
    rows = [("a", "train", 4), ("b", "test", 2), ("c", "test", 3), ("d", "val", 5), ("e", "test", 1)]
    split = pd.DataFrame(
        [(s, f"{i:02d}", float(i), name) for s, name, n in rows for i in range(n)],
        columns=["subject", "session", "years", "split"],
    )
    assert choose_patients(split, 9) == ["c", "b", "d", "a", "e"]
    assert choose_patients(split, 2) == ["c", "b"]
    assert choose_patients(None, 2) == []


def test_a_failed_scan_is_named_from_either_table_and_once():
    qc = pd.DataFrame({"subject": ["1", "2"], "session": "01", "ok": False, "stage": "convert", "reason": "empty"})
    unusable = qc.iloc[1:].assign(stage="segment", reason="no lungs").drop(columns="ok")
    results = Results("Title", 4, False, {}, [], [], Tables(qc=qc, unusable=unusable), Images())
    assert unusable_scans(results) == [("1", "01", "convert", "empty"), ("2", "01", "segment", "no lungs")]


@pytest.mark.parametrize(
    ("last", "times"), [(4.9, [0, 1, 2, 3, 4]), (1.2, [0, 0.25, 0.5, 0.75, 1.0]), (12, [0, 2, 4, 6, 8, 10, 12])]
)
def test_times_of_the_risk_table_are_round(last, times):
    assert risk_times(last) == times


def test_numbers_as_text():
    assert formatting.fixed(-0.5, 1) == "−0.5"
    assert formatting.fixed(-0.001, 1, sign=True) == "0.0"
    assert formatting.fixed(float("nan")) == "–"
    assert formatting.interval(0.62, 0.48, 0.754) == "0.62 [0.48 to 0.75]"
    assert formatting.interval(0.62, None, None) == "0.62 [no interval]"
    assert formatting.whole(12345) == "12 345".replace(" ", " ")
    assert formatting.count(1, "patient") == "1 patient"
    assert formatting.count(0, "patient") == "0 patients"
    assert formatting.p_value(0.0002) == "< 0.001"
    assert formatting.listing(["a", "b", "c"]) == "a, b and c"


def test_render_escapes_cells_words_and_code():
    bodies = (Table(("<i>",), (("<u>",),)), Words(("<p>",)), Code("a: <x>"))
    section = Section("one", "<One>", "", (Reportlet("<t>", "", bodies),))
    html = render(Page("<title>", "", "", (), (section,)))
    for raw in ("<i>", "<u>", "<One>", "<t>", "<x>"):
        assert raw not in html.replace("<title>", "", 1)
    Outline(html)


def test_every_citation_has_its_reference_and_every_reference_is_cited():
    everything = {"segment": {"method": "lungmask"}, "train_vqgan": {"perceptual": "vgg"}}
    text = methods_text.describe(everything, simulated=False)
    cited = {
        int(n) for words in text.paragraphs for group in re.findall(r"\[([\d, ]+)\]", words) for n in group.split(",")
    }
    assert cited == set(range(1, len(REFERENCES) + 1)) == set(range(1, len(text.references) + 1))
    assert "4D-VQ-GAN" in text.references[0]


def test_deviations_name_settings_that_exist(made):
    config = made[1].params["config"]
    for deviation in DEVIATIONS:
        for key in deviation.keys:
            stage, _, name = key.partition(".")
            assert name in config[stage], key
    assert methods_text.in_this_run(DEVIATIONS[0], config) == "method: intensity"


def test_report_of_empty_results_needs_no_files():
    Outline(report(Results("Title", 4, False, {}, [], [], Tables(), Images())))


def test_what_the_tables_leave_open_is_told():
    told = "participants.tsv: 1 of 2 rows are of patients of scans.tsv, 1 of nobody there (077)."
    results = Results("Title", 4, False, {}, [], [], Tables(), Images(), notices=[told])
    assert told in "".join(Outline(report(results)).text)
