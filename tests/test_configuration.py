import re
import runpy
from pathlib import Path

import pytest

from lung4d.pipeline.door.configuration import InvalidInput, check_config, load_yaml, overlaid

ROOT = Path(__file__).parent.parent
SCHEMA = load_yaml(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULTS = load_yaml(ROOT / "config/config.yaml")


def errors_of(changes):
    with pytest.raises(InvalidInput) as caught:
        check_config(overlaid(DEFAULTS, changes), SCHEMA)
    return caught.value.errors


@pytest.mark.parametrize("name", ["config", "demo", "paper", "tiny"])
def test_shipped_configurations_are_valid(name):
    folder = ROOT / ("tests" if name == "tiny" else "config")
    check_config(overlaid(DEFAULTS, load_yaml(folder / f"{name}.yaml")), SCHEMA)


def test_every_default_is_in_the_schema_and_every_schema_key_has_a_default_and_a_description():
    for section, schema in SCHEMA["properties"].items():
        assert schema["description"], section
        keys = schema.get("properties", {})
        if schema["type"] == "object":
            assert set(keys) == set(DEFAULTS[section]), section
        for key, entry in keys.items():
            assert entry["description"], f"{section}.{key}"


def test_overlay_merges_sections_and_replaces_values():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 3}
    assert overlaid(base, {"a": {"y": [9]}}) == {"a": {"x": 1, "y": [9]}, "b": 3}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 3}


def test_all_errors_are_told_at_once_with_key_value_and_remedy():
    told = errors_of(
        {
            "registr": {},
            "resample": {"shap": [1, 2, 3], "shape": [96, 256]},
            "train_vqgan": {"codes": "many", "gan_loss": "wasserstein"},
            "split": {"test": 1.5},
        }
    )
    text = "\n".join(told)
    assert len(told) == 6
    assert "unknown key 'registr', did you mean 'register'?" in text
    assert "config, resample: unknown key 'shap', did you mean 'shape'?" in text
    assert re.search(r"resample, shape is \[96, 256\]; give 3 to 3 values. shape: D, H, W", text)
    assert "train_vqgan, codes is 'many'; give integer >= 2" in text
    assert "gan_loss is 'wasserstein'; give one of hinge, log" in text
    assert "split, test is 1.5; give number >= 0 and < 1" in text


def test_a_wrong_item_of_a_list_is_told_with_the_key_it_belongs_to():
    (told,) = errors_of({"simulate": {"faults": ["fire"]}})
    assert "faults, 0 is 'fire'; give one of noise, empty, water. faults: scans added" in told


def test_the_readme_of_the_configuration_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs/make_config_readme.py"))["render"]()
    assert (ROOT / "config/README.md").read_text() == made, "run `make docs`"
