"""Configurations as people write them, by the kind of what goes wrong: the cases of test_door_configuration.py."""

from typing import Any, NamedTuple

NUMBER = "in plain decimals such as 0.2, 20 or 3e-4"


class Text(NamedTuple):
    """What stands in config/config.yaml, and the value that a key then has or else the sentence that refuses it."""

    words: str
    text: str | bytes
    key: str = ""
    value: Any = None
    refused: str = ""


READ = [
    Text("3e-4, a text for YAML", "train_vqgan: {lr: 3e-4}", "train_vqgan.lr", 3e-4),
    Text("3E-4", "train_vqgan: {lr: 3E-4}", "train_vqgan.lr", 3e-4),
    Text(".5e-3", "train_vqgan: {lr: .5e-3}", "train_vqgan.lr", 5e-4),
    Text("1e4 steps", "train_vqgan: {steps: 2e4}", "train_vqgan.steps", 20000),
    Text("20_000 steps", "train_vqgan: {steps: 20_000}", "train_vqgan.steps", 20000),
    Text("a number in quotes", 'split: {val: "0.2"}', "split.val", 0.2),
    Text("a whole number with a point", "train_ode: {epochs: 20.0}", "train_ode.epochs", 20),
    Text("a section without anything", "segment:\nsplit: {val: 0.3}", "segment.method", "intensity"),
    Text("a section of ~", "segment: ~", "segment.method", "intensity"),
    Text("a section within one without anything", "simulate:\n  real_anatomy:", "simulate.real_anatomy.patients", 0),
    Text("no, as a title", "report: {title: no}", "report.title", "no"),
    Text("a number as a title", "report: {title: 2024}", "report.title", "2024"),
    Text("a date as a version", "train_ode: {version: 2024-01-01}", "train_ode.version", "2024-01-01"),
    Text("1.10 as a version", "train_ode: {version: 1.10}", "train_ode.version", "1.10"),
    Text("off, where yes or no is asked", "train_vqgan: {flips: off}", "train_vqgan.flips", False),
    Text("Yes in quotes", 'train_vqgan: {flips: "Yes"}', "train_vqgan.flips", True),
    Text("off among words", "train_vqgan: {checkpointing: off}", "train_vqgan.checkpointing", False),
    Text("~ where null may be", "train_vqgan: {crop: ~}", "train_vqgan.crop", None),
    Text("a byte order mark", b"\xef\xbb\xbfsplit: {val: 0.3}", "split.val", 0.3),
    Text("UTF-16, as Windows' Unicode text", "split: {val: 0.3}".encode("utf-16"), "split.val", 0.3),
    Text("line ends of Windows", b"split:\r\n  val: 0.3\r\n", "split.val", 0.3),
    Text("letters beyond ASCII", "report: {title: Fälle}", "report.title", "Fälle"),
    Text("an anchor", "train_vqgan: &a {lr: 1e-4}\ntrain_ode: {<<: *a, epochs: 7}", "train_ode.lr", 1e-4),
    Text("JSON with tabs", '{\n\t"split": {\n\t\t"val": 0.3\n\t}\n}', "split.val", 0.3),
    Text("None, as Python writes null", "segment: {weights: None}", "segment.weights", None),
    Text("none for a version", "train_ode: {version: none}", "train_ode.version", None),
    Text("none where it is a choice", "train_vqgan: {perceptual: none}", "train_vqgan.perceptual", "none"),
    Text("none for a crop", "train_ode: {crop: none}", "train_ode.crop", None),
    Text(
        "a checksum in capitals",
        f"segment: {{method: lungmask, weights_sha256: {'AB' * 32}}}",
        "segment.weights_sha256",
        "AB" * 32,
    ),
    Text("nothing but a comment", "# my settings\n", "split.val", 0.16),
]
REFUSED = [
    Text(
        "a section twice",
        "split: {val: 0.1}\nreport: {patients: 2}\nsplit: {test: 0.3}",
        refused="config/config.yaml lines 1 and 3 both give split; keep one of them",
    ),
    Text(
        "a key twice in a section",
        "train_vqgan:\n  lr: 1e-4\n  steps: 9\n  lr: 2e-4\n",
        refused="config/config.yaml lines 2 and 4 both give lr of train_vqgan; keep one of them",
    ),
    Text(
        "a key twice two sections deep",
        "simulate:\n  real_anatomy:\n    patients: 1\n    patients: 2\n",
        refused="lines 3 and 4 both give patients of simulate.real_anatomy",
    ),
    Text("a list at the top", "- split\n", refused="config/config.yaml line 1 begins a list; give sections"),
    Text("a text at the top", "split\n", refused="config/config.yaml line 1 begins a text; give sections"),
    Text(
        "Latin-1",
        "split: {val: 0.1}\nreport: {title: Fälle}".encode("latin-1"),
        refused="config/config.yaml line 2 is not UTF-8 (byte 0xE4); save the file as UTF-8",
    ),
    Text("UTF-16 without its mark", "split: {}".encode("utf-16-le"), refused="line 1 holds the character U+0000"),
    Text("a tab", "split:\n\tval: 0.1\n", refused="config/config.yaml line 2 has a tab"),
    Text(
        "two documents",
        "split: {val: 0.1}\n---\nqc: {}\n",
        refused="config/config.yaml line 2 begins a second document",
    ),
    Text(
        "a tag that runs a program",
        "report: {title: !!python/object/apply:os.system [ls]}",
        refused="config/config.yaml line 1 has the tag !!python/object/apply:os.system; leave it out",
    ),
    Text("a tag of one's own", "split: {val: !share 0.2}", refused="config/config.yaml line 1 has the tag !share"),
    Text("an anchor that holds itself", "split: &a {val: *a}", refused="line 1: an anchor holds itself"),
    Text("a bracket that stays open", "split: {val: 0.1\nqc: {}\n", refused="is not YAML"),
    Text("no colon", "split:\n  val 0.1\n  test: 0.2\n", refused="is not YAML"),
    Text("octal", "train_vqgan: {steps: 010}", refused=f"steps is '010'; give integer >= 1, {NUMBER}"),
    Text("hexadecimal", "train_vqgan: {steps: 0x1F}", refused=f"steps is '0x1F'; give integer >= 1, {NUMBER}"),
    Text("sexagesimal", "train_vqgan: {steps: 1:30}", refused=f"steps is '1:30'; give integer >= 1, {NUMBER}"),
    Text("a point between thousands", "evaluate: {bootstrap: 20.000}", refused="bootstrap is '20.000'; give integer"),
    Text("an underscore in a place of its own", "train_vqgan: {steps: 2_0}", refused="steps is '2_0'; give integer"),
    Text("a learning rate without its exponent", "train_ode: {lr: 3}", refused="lr is 3; give number > 0 and <= 0.1"),
    Text("no memory", "train_vqgan: {fits: 0GB}", refused="fits is '0GB'"),
    Text("a working grid of 0.01 mm", "register: {spacing: 0.01}", refused="spacing is 0.01; give number >= 0.5"),
    Text("a decimal comma", "split: {val: '0,2'}", refused=f"val is '0,2'; give number >= 0 and < 1, {NUMBER}"),
    Text("a share in percent", "split: {val: 20%}", refused="config/config.yaml line 1, split, val is '20%'"),
    Text("a unit", "register: {spacing: 1.5 mm}", refused="config/config.yaml line 1, register, spacing is '1.5 mm'"),
    Text("not a number", "split:\n  val: .nan\n", refused="config/config.yaml line 2, split, val is '.nan'"),
    Text("infinite", "train_vqgan: {commitment: .inf}", refused="commitment is '.inf'"),
    Text("1e999", "train_vqgan: {commitment: 1e999}", refused="commitment is '1e999'"),
    Text("half a step", "train_vqgan: {steps: 10.5}", refused="steps is 10.5; give integer"),
    Text("yes for a number", "split: {val: yes}", refused="val is 'yes'; give number"),
    Text("1 for yes", "train_vqgan: {flips: 1}", refused="flips is '1'; give true or false"),
    Text(
        "nothing for a number",
        "split:\n  val:\n",
        refused="config/config.yaml line 2, split, val is empty; give number",
    ),
    Text("nothing for a word", "cohort: null", refused="cohort is empty; give one of tables, simulated"),
    Text("a number for a list", "resample: {shape: 96}", refused="shape is '96'; give a list"),
    Text("a word for a section", "split: yes", refused="split is 'yes'; give a section"),
    Text("a number as a key", "split: {1: 0.2}", refused="split: unknown key '1'"),
    Text("a list as a key", "{[a]: 1}", refused="has a list or a section for a key"),
    Text(
        "a key at the top",
        "lr: 3e-4",
        refused="line 1: unknown key 'lr', it belongs into train_vqgan or into train_ode",
    ),
    Text("a key in another section", "resample: {val: 0.2}", refused="unknown key 'val', it belongs into split"),
    Text("a section in another", "split: {segment: {}}", refused="'segment', it belongs to the top, in no section"),
    Text(
        "another way to write it", "Train-VQGAN: {}", refused="unknown key 'Train-VQGAN', did you mean 'train_vqgan'?"
    ),
    Text("a line break", 'report: {title: "a\\nb"}', refused="title holds a line break or another control character"),
]

# What --config hands on: texts, and mappings of texts.
GIVEN = [
    ({"train_ode": {"lr": "0.0001"}}, "train_ode.lr", 1e-4),
    ({"train_ode": '{"lr": 0.0001}'}, "train_ode.lr", 1e-4),
    ({"train_ode": "{lr: 1e-4}"}, "train_ode.lr", 1e-4),
    ({"resample": {"shape": ["16", "32", "32"]}}, "resample.shape", [16, 32, 32]),
    ({"resample": {"shape": "[16, 32, 32]"}}, "resample.shape", [16, 32, 32]),
    ({"train_vqgan": {"crop": "null"}}, "train_vqgan.crop", None),
    ({"train_vqgan": {"flips": "false"}}, "train_vqgan.flips", False),
    ({"train_vqgan": {"steps": 1e4, "gan_start": "5e3"}}, "train_vqgan.steps", 10000),
    ({"shard": 8.0}, "shard", 8),
    ({"segment": None}, "segment.method", "intensity"),
]
GIVEN_WRONG = [
    ({"lr": 1e-4}, "--config: unknown key 'lr', it belongs into train_vqgan or into train_ode"),
    ({"train_ode": {"lr": "fast"}}, "--config, train_ode, lr is 'fast'; give number > 0"),
    ({"train_ode": 0.0001}, "--config, train_ode is 0.0001; give a section"),
    ({"split": {"val": float("nan")}}, "--config, split, val is 'nan'; give number"),
    ({"train_vqgan": {"commitment": float("inf")}}, "--config, train_vqgan, commitment is 'inf'; give number"),
    ({"train_vqgan": {"steps": True}}, "--config, train_vqgan, steps is True; give integer"),
]


class Clash(NamedTuple):
    """What the user says, and words of the sentence that it must give."""

    settings: dict[str, dict[str, Any]]
    said: str


CLASHES = [
    Clash({"resample": {"shape": [50, 66, 64]}}, "resample.shape is [50, 66, 64], but train_vqgan.compression is 4"),
    Clash({"train_vqgan": {"crop": [30, 32, 32]}}, "train_vqgan.crop is [30, 32, 32], but"),
    Clash({"train_vqgan": {"compression": 8}, "train_ode": {"crop": [44, 96, 96]}}, "train_ode.crop is [44, 96, 96]"),
    Clash({"train_vqgan": {"crop": [128, 64, 64]}}, "train_vqgan.crop is [128, 64, 64], larger than resample.shape"),
    Clash({"train_ode": {"crop": [48, 96, 512]}}, "train_ode.crop is [48, 96, 512], larger than resample.shape"),
    Clash({"resample": {"shape": [8, 64, 64]}}, "at least 11 voxels"),
    Clash({"train_vqgan": {"crop": [4, 32, 32]}}, "the discriminators need at least 8 voxels"),
    Clash({"train_vqgan": {"compression": 2}, "train_ode": {"crop": [2, 32, 32]}}, "its losses need at least 4 voxels"),
    Clash({"train_vqgan": {"steps": 5000}}, "train_vqgan.gan_start is 10000, but steps is 5000"),
    Clash({"train_vqgan": {"gan_start": 20000}}, "train_vqgan.gan_start is 20000, but steps is 20000"),
    Clash({"train_vqgan": {"crop": [32, 32, 32], "fine_tune_steps": 20001}}, "fine_tune_steps is 20001, but steps"),
    Clash({"train_vqgan": {"fine_tune_steps": 100}}, "fine_tune_steps is 100, but crop is null"),
    Clash({"train_vqgan": {"save_every": 30000}}, "train_vqgan.save_every is 30000, but steps is 20000"),
    Clash({"train_vqgan": {"validate_every": 30000}}, "train_vqgan.validate_every is 30000, but steps"),
    Clash({"train_vqgan": {"restart_after": 30000}}, "train_vqgan.restart_after is 30000, but steps"),
    Clash({"train_vqgan": {"reconstruction_weight": 0, "perceptual": "none", "gan_weight": 0}}, "nothing to learn"),
    Clash({"train_ode": {"latent_weight": 0, "image_weight": 0, "low_pass_weight": 0}}, "train_ode has nothing"),
    Clash({"train_vqgan": {"perceptual": "vgg"}}, "perceptual is vgg, but perceptual_weights is null"),
    Clash({"train_vqgan": {"perceptual": "vgg", "perceptual_weights": "/no.pth"}}, "perceptual_weights is /no.pth"),
    Clash({"segment": {"method": "lungmask", "weights": "/no.pth"}}, "segment.weights is /no.pth, which is no file"),
    Clash({"segment": {"weights": "/no.pth"}}, "segment.weights is given, but method is intensity, which uses none"),
    Clash({"train_vqgan": {"perceptual_weights": "/no.pth"}}, "is given, but perceptual is efficientnet"),
    Clash({"train_vqgan": {"window": [500, -1000]}}, "train_vqgan.window is [500, -1000]; give its lower end"),
    Clash({"train_vqgan": {"window": [-500, 500]}}, "train_vqgan.window is [-500, 500]; give its lower end"),
    Clash({"segment": {"min_volume_ml": 9000, "max_volume_ml": 800}}, "segment.min_volume_ml is 9000, not below"),
    Clash({"split": {"val": 0.5, "test": 0.5}}, "split.val is 0.5 and split.test 0.5: nobody is left to train on"),
    Clash({"register": {"search_radius": [45.0, 12.0, 6.0]}}, "register has other numbers of levels for other keys"),
    Clash({"register": {"search_step": [4.5, 9.0]}}, "register.search_step is 9.0 mm on level 2, beyond search_radius"),
    Clash({"register": {"search_radius": [6.0, 45.0]}}, "give the coarse level first, with the largest radius"),
    Clash({"train_vqgan": {"discriminator_channels": 24}}, "discriminator_channels is 24, which the norm's 32 groups"),
    Clash({"train_ode": {"maps": 0}}, "generate_trajectories.decoding is drawn, but train_ode.maps is 0"),
    Clash({"generate_trajectories": {"interval": 0.01, "horizon": 20.0}}, "more than 1000 volumes a patient"),
    Clash({"train_ode": {"solver": "rk4", "solver_step": 1e-4}}, "train_ode.solver_step is 0.0001 years, but 2.0 are"),
    Clash({"train_ode": {"given": "all"}}, "drawing is learnt from visits that are not given, and there are none"),
    Clash({"train_ode": {"years_scale": 1e-4}}, "train_ode.years_scale is 0.0001, but 2.0 years are to be forecast"),
    Clash({"train_ode": {"solver_step": 1e-5}}, "also of an adaptive solver where it gives up"),
    Clash(
        {"train_ode": {"decoder": "pairwise", "pairwise_interval": 1e-3}},
        "train_ode.pairwise_interval is 0.001 years, but 2.0 are to be forecast: more than 1000 steps",
    ),
    Clash({"train_vqgan": {"gan_weight": 0, "feature_matching_weight": 1.0}}, "gan_weight is 0 and no discriminator"),
    Clash(
        {"train_vqgan": {"reconstruction_weight": 0, "perceptual": "none"}},
        "gan_start is 10000, and before it there is nothing to learn from",
    ),
    Clash({"train_vqgan": {"reconstruction_weight": 0, "perceptual_weight": 0}}, "before it there is nothing to learn"),
    Clash({"train_vqgan": {"window": [-1000, 40000]}}, "a scan holds 32767 HU at most"),
    Clash({"segment": {"weights_sha256": "0" * 64}}, "segment.weights_sha256 is given, but method is intensity"),
    Clash({"train_vqgan": {"perceptual_sha256": "0" * 64}}, "perceptual_sha256 is given, but perceptual is"),
    Clash({"register": {"search_radius": [450.0, 6.0]}}, "search_radius is 450.0 mm on level 1 in steps of 4.5"),
    Clash({"register": {"search_radius": [45.0, 45.0], "search_step": [4.5, 0.5], "spacing": 0.5}}, "on level 2 in"),
    Clash({"survival": {"top_codes": 300}}, "survival.top_codes is 300, but train_vqgan.codes is 256"),
    Clash({"survival": {"covariates": ["age", "sex", "age"]}}, "survival.covariates names age twice"),
    Clash({"train_vqgan": {"planes": ["axial", "axial"]}}, "train_vqgan.planes names axial twice"),
    Clash({"cohort": "simulated", "simulate": {"spacing": [20.0, 2.0, 2.0]}}, "simulate.spacing is [20.0, 2.0, 2.0]"),
    Clash({"cohort": "simulated", "simulate": {"spacing": [0.4, 0.4, 0.4]}}, "voxels below 0.1 mm^3"),
    Clash({"cohort": "simulated", "simulate": {"max_displacement": 60.0}}, "farther than register.search_radius, 45.0"),
    Clash({"cohort": "simulated", "simulate": {"visits": [6, 6], "max_years": 1.0}}, "which do not fit into max_years"),
]  # fmt: skip

# Settings of times that ask for too much only after the cohort's last visit, whose years come first.
AFTER_VISITS = [
    (
        20.0,
        Clash(
            {"generate_trajectories": {"interval": 0.01}},
            "of 2.0 years, after visits up to 20 years: more than 1000 volumes",
        ),
    ),
    (40.0, Clash({"generate_trajectories": {"years": [1]}, "train_ode": {"years_scale": 0.03}}, "but 40.0 years are")),
    (30.0, Clash({"train_ode": {"solver": "rk4", "solver_step": 0.005}}, "but 32.0 are to be forecast: 6400 steps")),
]

# Settings of the built-in cohort from which none can be made.
SIMULATIONS = [
    Clash({"simulate": {"visits": [5, 2]}}, "simulate.visits is [5, 2]"),
    Clash({"simulate": {"visits": [3, 5], "courses": {"slow": 0.5}}}, "simulate.courses: the weights sum to 0.5"),
    Clash(
        {"simulate": {"visits": [3, 5], "courses": {"slow": 0.99, "fast": 0.01}}},
        "0.01 of 24 patients, which is nobody",
    ),
    Clash({"simulate": {"visits": [2, 5], "courses": {"slow": 1}}}, "simulate.visits begins with 2"),
    Clash(
        {"simulate": {"visits": [3, 5], "courses": {"slow": 1}, "disease": False}}, "simulate.courses has no meaning"
    ),
    Clash({"simulate": {"censoring": 1}}, "simulate.censoring is 1"),
    Clash({"simulate": {"patients": 2, "faults": ["noise", "empty", "water"]}}, "simulate.faults has more scans than"),
    Clash({"simulate": {"real_anatomy": {"patients": 2}}}, "simulate.real_anatomy.scans is empty"),
    Clash(
        {"simulate": {"real_anatomy": {"patients": 1, "scans": ["a.nii", "b.nii"], "masks": ["a.nii"]}}},
        "simulate.real_anatomy.masks has 1 files for 2 scans",
    ),
    Clash({"simulate": {"real_anatomy": {"scans": ["missing.nii"]}}}, "simulate.real_anatomy.scans: number 1 names no"),
]

# Names of folders and files, each of which something between a table and a job takes for more than a name.
ODD_NAMES = (
    "with spaces",
    "weights {v1}",
    "{subject}",
    "{{double}}",
    "half { brace",
    "100 %s",
    "$HOME and `date`",
    "it's quoted",
    "[1-9]*?",
    "a#b;c&d|e",
    "Füße 東京",
    " leading",
)

# Years and what follows from them, given by another key than `years` of scans.tsv, which allows 0 to 60.
YEARS = [
    ({"generate_trajectories": {"years": [7985]}}, "generate_trajectories, years, 0 is 7985; give number"),
    ({"generate_trajectories": {"years": [0, -1900]}}, "generate_trajectories, years, 1 is -1900; give number"),
    ({"generate_trajectories": {"horizon": 1e6}}, "generate_trajectories, horizon is 1000000.0; give number"),
    ({"generate_trajectories": {"horizon": 61}}, "generate_trajectories, horizon is 61; give number >= 0 and <= 60"),
    ({"generate_trajectories": {"interval": 1e-6}}, "generate_trajectories, interval is 1e-06; give number >= 0.01"),
    ({"simulate": {"max_years": 7985}}, "simulate, max_years is 7985; give number > 0 and <= 60"),
    ({"split": {"seed": 10**12}}, "split, seed is 1000000000000; give integer >= 0 and <= 2147483647"),
    ({"train_ode": {"betas": [0.9, 1.0]}}, "train_ode, betas, 1 is 1.0; give number >= 0 and < 1"),
    ({"train_vqgan": {"betas": [-0.5, 0.9]}}, "train_vqgan, betas, 0 is -0.5; give number >= 0 and < 1"),
]

KINDS = {
    "coercion instead of a check; the parser's habits reach the user": [*READ, *REFUSED, *GIVEN, *GIVEN_WRONG],
    "keys that contradict each other are found in the training": [*CLASHES, *AFTER_VISITS, *SIMULATIONS],
    "a path put where something formats it": ODD_NAMES,
    "a derived value goes round its typed twin's limits": YEARS,
}
