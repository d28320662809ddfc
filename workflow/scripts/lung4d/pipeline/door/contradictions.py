"""Keys that are each right and contradict each other: found before the first job, not in the training.

A rule is a function of the configuration and of the repository's defaults that gives a sentence for each contradiction.
The rules are read in every job, so they import nothing of the stages: what they repeat of those is in capitals here,
and a test holds it to the stages' own words.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from lung4d.pipeline.door.forecast_times import times_of_forecasts

Config = Mapping[str, Any]

TABLES = ("scans.tsv", "participants.tsv", "qc.tsv")
PER_LEVEL = ("search_radius", "search_step", "patch_radius", "keypoint_cube", "keypoints", "alpha")  # register
WIDEST_SPACING = 10.0  # mm (convert)
SMALLEST_VOXEL = 0.1  # mm^3 of a simulated scan; smaller ones make more of them than memory holds
BRIGHTEST = 32767  # HU that a scan can hold
MOST_TRIED = 2**30  # displacements times keypoints of a level of the registration, 4 bytes each
LUNGS = 6e6  # mm^3, in which keypoints lie
SHORTEST_GAP = 0.3  # years between two simulated visits
SSIM_WINDOW = 11  # voxels of the smallest axis that can be scored (metrics)
SMALLEST_JUDGED = 8  # voxels of a side that leave the discriminators something to judge (train_vqgan)
NORM_GROUPS = 32  # most groups of a group norm in the discriminators (train_vqgan)
BLOCK = 4  # voxels of the largest block whose mean the low-passed loss takes (train_ode)
DISEASED = -720.0  # HU from which a place counts as diseased (evaluate)
WEIGHTS = (  # files of weights and their checksums, and the choice that uses them
    ("segment", "weights", "weights_sha256", "method", "lungmask"),
    ("train_vqgan", "perceptual_weights", "perceptual_sha256", "perceptual", "vgg"),
)
DRAWN = ("drawn", "expected")  # decodings that need maps (generate_trajectories)


def contradictions(config: Config, defaults: Config) -> list[str]:
    """A sentence for every contradiction in a configuration that fits the schema."""
    return [f"config: {sentence}" for rule in RULES for sentence in rule(config, defaults)]


def wrong_cohort(config: Config, defaults: Config, scans: Path) -> list[str]:
    """Sentences where the cohort asked for is not the one that tables and settings are of."""
    tables = [path for name in TABLES if (path := scans.with_name(name)).exists()]
    if config["cohort"] == "simulated" and tables:
        return [
            f"config: cohort is simulated, but {tables[0].as_posix()} is there and would not be read; say cohort: "
            "tables, or run the built-in cohort in another folder"
        ]
    changed = [key for key, value in config["simulate"].items() if value != defaults["simulate"][key]]
    if config["cohort"] == "tables" and changed:
        return [
            f"config: simulate.{changed[0]} is set, but cohort is tables and nothing is simulated; leave simulate out, "
            "or say cohort: simulated"
        ]
    return []


def uneven_processes(config: Config, environment: Mapping[str, str]) -> list[str]:
    """Sentences where the processes that the environment asks for cannot share out a step, or not over its nodes."""
    counts = {}
    for name in ("LUNG4D_PROCESSES", "LUNG4D_NODES"):
        text = environment.get(name, "1")
        if not text.isdecimal() or int(text) < 1:
            return [f"{name} is {text!r} in the environment; give a whole number from 1, or unset it"]
        counts[name] = int(text)
    processes, nodes = counts.values()
    accumulation = config["train_vqgan"]["accumulation"]
    told = []
    if accumulation % processes:
        told.append(
            f"config: train_vqgan.accumulation is {accumulation}, which the {processes} processes of LUNG4D_PROCESSES "
            "cannot share evenly; give a multiple, or other processes"
        )
    if processes % nodes:
        told.append(
            f"LUNG4D_PROCESSES is {processes}, which cannot be spread evenly over the {nodes} of LUNG4D_NODES; give a "
            "multiple"
        )
    return told


def shape_and_compression(config: Config, _: Config) -> Iterator[str]:
    factor = config["train_vqgan"]["compression"]
    sizes = {
        "resample.shape": config["resample"]["shape"],
        "train_vqgan.crop": config["train_vqgan"]["crop"],
        "train_ode.crop": config["train_ode"]["crop"],
    }
    for key, size in sizes.items():
        if size and any(side % factor for side in size):
            near = [max(factor, factor * round(side / factor)) for side in size]
            yield f"{key} is {size}, but train_vqgan.compression is {factor}; give multiples of it, such as {near}"


def crop_in_shape(config: Config, defaults: Config) -> Iterator[str]:
    shape = config["resample"]["shape"]
    for section in ("train_vqgan", "train_ode"):
        crop = config[section]["crop"]
        if crop and crop != defaults[section]["crop"] and any(a > b for a, b in zip(crop, shape, strict=True)):
            yield f"{section}.crop is {crop}, larger than resample.shape, {shape}; give no more than that, or null"


def smallest_volume(config: Config, _: Config) -> Iterator[str]:
    shape = config["resample"]["shape"]
    if min(shape) < SSIM_WINDOW:
        yield f"resample.shape is {shape}; `evaluate` needs at least {SSIM_WINDOW} voxels along every axis"


def smallest_crops(config: Config, _: Config) -> Iterator[str]:
    vqgan, ode = config["train_vqgan"], config["train_ode"]
    if vqgan["crop"] and min(vqgan["crop"]) < SMALLEST_JUDGED:
        yield (
            f"train_vqgan.crop is {vqgan['crop']}; the discriminators need at least {SMALLEST_JUDGED} voxels along "
            "every axis"
        )
    if ode["crop"] and ode["maps"] and min(ode["crop"]) < BLOCK:
        yield f"train_ode.crop is {ode['crop']}; its losses need at least {BLOCK} voxels along every axis"


def steps_of_the_autoencoder(config: Config, defaults: Config) -> Iterator[str]:
    own, usual = config["train_vqgan"], defaults["train_vqgan"]
    steps = own["steps"]
    if own["gan_weight"] > 0 and own["gan_start"] >= steps:
        yield (
            f"train_vqgan.gan_start is {own['gan_start']}, but steps is {steps}: the adversarial terms would never "
            "begin; give fewer, or gan_weight: 0 to do without them"
        )
    if own["fine_tune_steps"] > steps:
        yield f"train_vqgan.fine_tune_steps is {own['fine_tune_steps']}, but steps is {steps}; give no more than that"
    if own["fine_tune_steps"] and not own["crop"]:
        yield (
            f"train_vqgan.fine_tune_steps is {own['fine_tune_steps']}, but crop is null and every step is on whole "
            "volumes; give a crop, or fine_tune_steps: 0"
        )
    for key in ("save_every", "validate_every", "restart_after"):
        if own[key] > steps and own[key] != usual[key]:
            yield f"train_vqgan.{key} is {own[key]}, but steps is {steps}: it would never come to that; give fewer"


def something_to_learn(config: Config, _: Config) -> Iterator[str]:
    vqgan, ode = config["train_vqgan"], config["train_ode"]
    kinds = ("reconstruction_weight", "perceptual_weight", "gan_weight")
    perceptual = vqgan["perceptual"] != "none"
    if not any(vqgan[key] for key in kinds if perceptual or key != "perceptual_weight"):
        yield f"train_vqgan has nothing to learn from: {', '.join(kinds)} are 0 or switched off; give one of them"
    early = vqgan["reconstruction_weight"] or (perceptual and vqgan["perceptual_weight"])
    if vqgan["gan_weight"] and vqgan["gan_start"] and not early:
        yield (
            f"train_vqgan.gan_start is {vqgan['gan_start']}, and before it there is nothing to learn from: "
            "reconstruction_weight and the perceptual term are 0 or switched off; give one of them, or gan_start: 0"
        )
    if vqgan["feature_matching_weight"] and not vqgan["gan_weight"]:
        yield (
            f"train_vqgan.feature_matching_weight is {vqgan['feature_matching_weight']}, but gan_weight is 0 and no "
            "discriminator is trained; give gan_weight, or feature_matching_weight: 0"
        )
    if not ode["latent_weight"] and not (ode["maps"] and (ode["image_weight"] or ode["low_pass_weight"])):
        yield (
            "train_ode has nothing to learn from: latent_weight is 0, and nothing is drawn (maps) or counted "
            "(image_weight, low_pass_weight); give one of them"
        )


def files_of_weights(config: Config, _: Config) -> Iterator[str]:
    for section, key, checksum, chooser, chosen in WEIGHTS:
        own = config[section]
        unused = [name for name in (key, checksum) if own[name] and own[chooser] != chosen]
        for name in unused:
            yield (
                f"{section}.{name} is given, but {chooser} is {own[chooser]}, which uses none; say {chooser}: "
                f"{chosen}, or {name}: null"
            )
        if not unused and own[key] and not Path(own[key]).is_file():
            yield f"{section}.{key} is {own[key]}, which is no file; correct it, or get it as resources/README.md says"
    if config["train_vqgan"]["perceptual"] == "vgg" and not config["train_vqgan"]["perceptual_weights"]:
        yield "train_vqgan.perceptual is vgg, but perceptual_weights is null; give a file, or perceptual: efficientnet"


def ordered_pairs(config: Config, _: Config) -> Iterator[str]:
    low, high = config["train_vqgan"]["window"]
    if not low < DISEASED < high:
        yield (
            f"train_vqgan.window is [{low}, {high}]; give its lower end, below {DISEASED:g} HU, where disease begins, "
            "then its upper one, above"
        )
    elif high > BRIGHTEST:
        yield f"train_vqgan.window is [{low}, {high}], but a scan holds {BRIGHTEST} HU at most; give no more than that"
    segment = config["segment"]
    if segment["min_volume_ml"] >= segment["max_volume_ml"]:
        yield (
            f"segment.min_volume_ml is {segment['min_volume_ml']}, not below max_volume_ml, "
            f"{segment['max_volume_ml']}: no mask could be both; give less"
        )


def shares_of_patients(config: Config, _: Config) -> Iterator[str]:
    val, test = config["split"]["val"], config["split"]["test"]
    if val + test >= 1:
        yield f"split.val is {val} and split.test {test}: nobody is left to train on; give less than 1 together"


def levels_of_the_registration(config: Config, _: Config) -> Iterator[str]:
    own = config["register"]
    counts = {key: len(own[key]) for key in PER_LEVEL}
    if len(set(counts.values())) > 1:
        words = ", ".join(f"{key} {count}" for key, count in counts.items())
        yield f"register has other numbers of levels for other keys ({words}); give one value a level in each"
        return
    for level, (radius, step) in enumerate(zip(own["search_radius"], own["search_step"], strict=True), start=1):
        if step > radius:
            yield f"register.search_step is {step} mm on level {level}, beyond search_radius, {radius}; give less"
    if any(fine > coarse for coarse, fine in pairwise(own["search_radius"])):
        yield f"register.search_radius is {own['search_radius']}; give the coarse level first, with the largest radius"


def displacements_tried(config: Config, _: Config) -> Iterator[str]:
    own = config["register"]
    levels = zip(*(own[key] for key in ("search_radius", "search_step", "keypoint_cube", "keypoints")), strict=False)
    for level, (radius, step, cube, keypoints) in enumerate(levels, start=1):
        length = own["spacing"] * max(1, round(step / own["spacing"]))
        places = min(keypoints, LUNGS / max(cube, 3 * own["spacing"]) ** 3)
        if (tried := (2 * max(1, round(radius / length)) + 1) ** 3) * places > MOST_TRIED:
            yield (
                f"register.search_radius is {radius} mm on level {level} in steps of {length:g} mm: {tried:,} "
                "displacements of each keypoint, more than memory holds; give less, or longer search_step"
            )


def groups_of_the_discriminators(config: Config, _: Config) -> Iterator[str]:
    own = config["train_vqgan"]
    channels = 2 * own["discriminator_channels"]
    if own["discriminator_norm"] == "group" and channels % min(NORM_GROUPS, channels):
        yield (
            f"train_vqgan.discriminator_channels is {own['discriminator_channels']}, which the norm's {NORM_GROUPS} "
            f"groups cannot share; give a multiple of {NORM_GROUPS // 2}, or discriminator_norm: instance"
        )


def drawing(config: Config, _: Config) -> Iterator[str]:
    decoding, own = config["generate_trajectories"]["decoding"], config["train_ode"]
    if decoding in DRAWN and not own["maps"]:
        yield (
            f"generate_trajectories.decoding is {decoding}, but train_ode.maps is 0 and nothing is drawn; give maps, "
            "or decoding: pure"
        )
    if own["maps"] and own["given"] == "all" and not own["hide_visits"]:
        yield (
            f"train_ode.maps is {own['maps']}, but given is all and hide_visits 0: drawing is learnt from visits that "
            "are not given, and there are none; say given: random, or maps: 0"
        )


def times(config: Config, _: Config) -> Iterator[str]:
    yield from times_of_forecasts(config)


def codes_that_are_there(config: Config, _: Config) -> Iterator[str]:
    top, codes = config["survival"]["top_codes"], config["train_vqgan"]["codes"]
    if top > codes:
        yield f"survival.top_codes is {top}, but train_vqgan.codes is {codes}; give no more than that"


def named_once(config: Config, _: Config) -> Iterator[str]:
    for section, key in (("survival", "covariates"), ("train_vqgan", "planes")):
        names = config[section][key]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            yield f"{section}.{key} names {', '.join(twice)} twice; name each once"


def simulated_scans(config: Config, _: Config) -> Iterator[str]:
    own = config["simulate"]
    if config["cohort"] != "simulated":
        return
    spacing = own["spacing"]
    if max(spacing) > WIDEST_SPACING:
        yield f"simulate.spacing is {spacing} mm, too coarse for `convert`; give {WIDEST_SPACING:g} mm at most"
    if math.prod(spacing) < SMALLEST_VOXEL:
        yield (
            f"simulate.spacing is {spacing} mm: voxels below {SMALLEST_VOXEL} mm^3 make scans larger than memory; "
            "give more"
        )
    reach = max(config["register"]["search_radius"])
    if own["max_displacement"] > reach:
        yield (
            f"simulate.max_displacement is {own['max_displacement']} mm, farther than register.search_radius, {reach}, "
            "reaches; give less, or a larger radius"
        )
    fewest = own["visits"][0]
    if (fewest - 1) * SHORTEST_GAP > own["max_years"]:
        yield (
            f"simulate.visits asks for {fewest} visits at least, which do not fit into max_years, {own['max_years']}; "
            "give fewer visits or more years"
        )


RULES: tuple[Callable[[Config, Config], Iterator[str]], ...] = (
    shape_and_compression,
    crop_in_shape,
    smallest_volume,
    smallest_crops,
    steps_of_the_autoencoder,
    something_to_learn,
    files_of_weights,
    ordered_pairs,
    shares_of_patients,
    levels_of_the_registration,
    displacements_tried,
    groups_of_the_discriminators,
    drawing,
    times,
    codes_that_are_there,
    named_once,
    simulated_scans,
)
