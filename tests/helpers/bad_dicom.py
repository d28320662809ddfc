"""DICOM whose headers say otherwise than geometry and pixels: more cases of `bad_inputs.CASES`.

Whatever the numbers say, every handled case must give `volume()`, of 24 slices 2.5 mm apart, and say what was left out.
"""

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from helpers import bad_inputs
from helpers.bad_inputs import HEADER_NUMBERS, files_of, put_in_zip, report
from helpers.ct_files import volume, write_series

case = partial(bad_inputs.case, kind=HEADER_NUMBERS)

LINKS = "linked folders"
CORONAL = (1, 0, 0, 0, 0, 1, 0, -1, 0)
JOINED_TORN = "The slices carry {} series UIDs; they were joined by number and position."
JOINED_SERIES = "The scan lies in {} series that continue each other; they were joined."
LONGER = volume(size=(40, 36, 34))  # its first 24 slices are those of `volume()`


def number(folder: Path, change: Callable[[Dataset, int], None]) -> Path:
    """Change every DICOM file of `folder` in place, by its position from 0."""
    for index, path in enumerate(files_of(folder)):
        item = pydicom.dcmread(path)
        change(item, index)
        item.save_as(path)
    return folder


def write_pass(folder: Path, keep: Iterable[int], *, numbers_from=None, image=None, differs=(), **tags) -> Path:
    """Slices `keep` of `volume()` (or `image`) as a pass, its InstanceNumber counted on from `numbers_from`; slices
    that are in `differs` are 7 HU darker."""
    keep, tags = list(keep), {"SeriesInstanceUID": "1.2.3", "AcquisitionNumber": 1, **tags}
    write_series(folder, volume() if image is None else image, tags=tags, keep=keep)

    def change(item, index):
        if numbers_from is not None:
            item.InstanceNumber = numbers_from + index
        if keep[index] in differs:
            item.RescaleIntercept = float(item.RescaleIntercept) - 7

    return number(folder, change)


def moved(image: sitk.Image, x=0.0, z=0.0) -> sitk.Image:
    """`image` at another place, mm."""
    image = sitk.Image(image)
    image.SetOrigin(np.array(image.GetOrigin()) + [x, 0, z])
    return image


# Copies, passes and phases


@case(
    "step and shoot: an AcquisitionNumber for each slice, and one slice sent twice",
    handled="read, the copy dropped, and flagged",
    flags=("1 slice was in the series twice.",),
)
def step_and_shoot(folder):
    def change(item, index):
        item.AcquisitionNumber = index + 1

    number(write_series(folder / "in", volume()), change)
    shutil.copy(files_of(folder / "in")[10], folder / "in" / "again.dcm")
    return folder / "in"


@case(
    "two overlapping passes in one series, the same images in the overlap",
    handled="joined, copies dropped, and flagged",
    flags=("5 slices were in the series twice.",),
)
def passes_with_copies(folder):
    write_pass(folder / "in" / "a", range(15))
    write_pass(folder / "in" / "b", range(10, 24), AcquisitionNumber=2)
    return folder / "in"


@case(
    "two overlapping passes in one series, other images in the overlap",
    handled="joined, the overlap from the longer, and flagged",
    flags=("2 passes were joined; where they overlap, 5 slices of the shorter were left out.",),
)
def passes_that_differ(folder):
    write_pass(folder / "in" / "a", range(15))
    write_pass(folder / "in" / "b", range(10, 24), AcquisitionNumber=2, differs=range(10, 15))
    return folder / "in"


@case(
    "the same, one acquisition number, passes told apart by the run of instance numbers alone",
    handled="joined, the overlap from the longer, and flagged",
    flags=("2 passes were joined; where they overlap, 5 slices of the shorter were left out.",),
)
def passes_by_run(folder):
    write_pass(folder / "in" / "a", range(15), numbers_from=1)
    write_pass(folder / "in" / "b", range(10, 24), numbers_from=16, differs=range(10, 15))
    return folder / "in"


@case(
    "the same, instance numbers counted from 1 in both passes",
    handled="joined, the overlap from the longer, and flagged",
    flags=("2 passes were joined; where they overlap, 5 slices of the shorter were left out.",),
)
def passes_by_offset(folder):
    write_pass(folder / "in" / "a", range(15), numbers_from=1)
    write_pass(folder / "in" / "b", range(10, 24), numbers_from=1, differs=range(10, 15))
    return folder / "in"


@case(
    "three overlapping passes in one series",
    handled="joined, overlaps from the longer, and flagged",
    flags=("3 passes were joined; where they overlap, 4 slices of the shorter were left out.",),
)
def three_passes(folder):
    write_pass(folder / "in" / "a", range(8), AcquisitionNumber=3, differs=range(6, 8))
    write_pass(folder / "in" / "b", range(6, 18), AcquisitionNumber=1)
    write_pass(folder / "in" / "c", range(16, 24), AcquisitionNumber=2, differs=range(16, 18))
    return folder / "in"


@case("two passes of one series that touch, the second from below", handled="read")
def passes_that_touch(folder):
    write_pass(folder / "in" / "a", range(13, 24), numbers_from=1)
    write_pass(folder / "in" / "b", range(13), numbers_from=12, AcquisitionNumber=2)
    return folder / "in"


@case(
    "two overlapping passes as two series of a study",
    handled="joined, copies dropped, and flagged",
    flags=("5 slices were in the series twice.", JOINED_SERIES.format(2)),
)
def passes_as_series(folder):
    write_pass(folder / "in" / "a", range(15), SeriesInstanceUID="1.2.3")
    write_pass(folder / "in" / "b", range(10, 24), SeriesInstanceUID="1.2.4", SeriesNumber=3, SeriesDescription="low")
    return folder / "in"


@case(
    "three passes as three series of a study, each continuing the one before",
    handled="joined, and flagged",
    flags=(JOINED_SERIES.format(3),),
)
def touching_series(folder):
    for uid, keep in enumerate((range(12), range(12, 18), range(18, 24))):
        write_pass(folder / "in" / str(uid), keep, SeriesInstanceUID=f"1.2.{uid}", SeriesNumber=uid + 2)
    return folder / "in"


@case(
    "a second pass whose slices lie 1 mm off the first one's",
    handled="read, the longer one, and flagged",
    flags=("10 slices of another pass were left out: their positions do not continue those of the longer one.",),
)
def pass_off_the_lattice(folder):
    write_pass(folder / "in" / "a", range(24))
    write_pass(folder / "in" / "b", range(20, 30), image=moved(LONGER, z=1.0), AcquisitionNumber=2)
    return folder / "in"


@case(
    "the whole chest in three phases, two of them a slice shorter",
    handled="read, the longest, and flagged",
    flags=("46 slices of another acquisition were left out.",),
)
def phases(folder):
    write_pass(folder / "in" / "a", range(24))
    write_pass(folder / "in" / "b", range(1, 24), image=volume() - 7, AcquisitionNumber=2)
    write_pass(folder / "in" / "c", range(1, 24), image=volume() + 7, AcquisitionNumber=3)
    return folder / "in"


# Torn series


@case(
    "a series UID of its own for each slice",
    handled="joined, and flagged",
    flags=(JOINED_TORN.format(24),),
)
def torn(folder):
    def change(item, _):
        item.SeriesInstanceUID = generate_uid()

    return number(write_series(folder / "in", volume()), change)


@case(
    "the same, without a series number, slices in a folder each",
    handled="joined, and flagged",
    flags=(JOINED_TORN.format(24),),
)
def torn_without_number(folder):
    for index in range(24):
        write_series(folder / "in" / str(index), volume(), keep=[index], tags={"SeriesNumber": None})
    return folder / "in"


@case(
    "the same, with a series number of its own for each slice",
    handled="joined, and flagged",
    flags=(JOINED_SERIES.format(24),),
)
def torn_with_numbers(folder):
    def change(item, index):
        item.SeriesInstanceUID, item.SeriesNumber = generate_uid(), 100 + index

    return number(write_series(folder / "in", volume()), change)


@case("two series UIDs, above and below", handled="joined, and flagged", flags=(JOINED_TORN.format(2),))
def torn_in_halves(folder):
    write_series(folder / "in" / "a", volume(), keep=range(11))
    write_series(folder / "in" / "b", volume(), keep=range(11, 24))
    return folder / "in"


@case("two series UIDs in turns", handled="joined, and flagged", flags=(JOINED_TORN.format(2),))
def torn_in_turns(folder):
    write_series(folder / "in" / "a", volume(), keep=range(0, 24, 2))
    write_series(folder / "in" / "b", volume(), keep=range(1, 24, 2))
    return folder / "in"


@case(
    "another series UID for three slices in the middle",
    handled="joined, and flagged",
    flags=(JOINED_TORN.format(2),),
)
def torn_in_the_middle(folder):
    write_series(folder / "in" / "a", volume(), keep=[*range(8), *range(11, 24)])
    write_series(folder / "in" / "b", volume(), keep=range(8, 11))
    return folder / "in"


@case("a study UID of its own for each slice of one series UID", handled="read")
def torn_study(folder):
    def change(item, _):
        item.StudyInstanceUID = generate_uid()

    return number(write_series(folder / "in", volume()), change)


@case(
    "a series UID and a study UID of its own for each slice",
    refused="The 24 axial CT slices belong to 24 series of 24 studies, each of fewer than 10 slices, which do not "
    "continue each other; export the chest as one series.",
)
def all_torn(folder):
    def change(item, _):
        item.SeriesInstanceUID, item.StudyInstanceUID = generate_uid(), generate_uid()

    return number(write_series(folder / "in", volume()), change)


@case(
    "five series of six slices, all of the same few places",
    refused="The 30 axial CT slices belong to 5 series, each of fewer than 10 slices, which do not "
    "continue each other; export the chest as one series.",
)
def pieces(folder):
    for index in range(5):
        write_series(folder / "in" / str(index), volume() + index, keep=range(6), tags={"SeriesNumber": index})
    return folder / "in"


# Numbers that are nonsense


@case("InstanceNumber missing", handled="read")
def no_instance_number(folder):
    return write_series(folder / "in", volume(), tags={"InstanceNumber": None})


@case("InstanceNumber the same everywhere", handled="read")
def one_instance_number(folder):
    return write_series(folder / "in", volume(), tags={"InstanceNumber": 1})


@case(
    "InstanceNumber and AcquisitionNumber shuffled, three slices twice",
    handled="read, copies dropped, and flagged",
    flags=("3 slices were in the series twice.",),
)
def shuffled_numbers(folder):
    shuffled = np.random.default_rng(0).permutation(24)

    def change(item, index):
        item.InstanceNumber, item.AcquisitionNumber = int(shuffled[index]), int(shuffled[-index]) % 5

    number(write_series(folder / "in", volume()), change)
    for path in files_of(folder / "in")[:3]:
        shutil.copy(path, folder / "in" / f"copy-{path.name}")
    return folder / "in"


@case(
    "SliceLocation runs otherwise than the positions",
    handled="read by the positions, and flagged",
    flags=("SliceLocation contradicts the positions of the slices, which were used.",),
)
def slice_location(folder):
    def change(item, index):
        item.SliceLocation = 7.0 * (index * 5 % 24)

    return number(write_series(folder / "in", volume()), change)


@case("SliceLocation counted from the other end", handled="read")
def slice_location_reversed(folder):
    def change(item, index):
        item.SliceLocation = 300.0 - 2.5 * index

    return number(write_series(folder / "in", volume()), change)


@case(
    "spacing and thickness of slices that their positions contradict",
    handled="read by the positions, and flagged",
    flags=(
        "The header says that slices are 5.0 mm apart, their positions 2.5 mm.",
        "The header says that slices are 25.0 mm thick; their positions are 2.5 mm apart.",
    ),
)
def spacing_contradicts(folder):
    return write_series(folder / "in", volume(), tags={"SpacingBetweenSlices": 5.0, "SliceThickness": 25.0})


@case(
    "other kernels and slice thicknesses from the middle on",
    handled="read, and flagged",
    flags=(
        "The slices name 2 kernels; that of the first counts.",
        "The slices name 2 slice thicknesses; that of the first counts.",
    ),
)
def halves_that_differ(folder):
    write_pass(folder / "in" / "a", range(12))
    write_pass(folder / "in" / "b", range(12, 24), ConvolutionKernel="B30f", SliceThickness=3.0)
    return folder / "in"


# What lies beside the scan under its UID


@case(
    "a localiser under the series UID of the scan",
    handled="read, without it, and flagged",
    flags=("2 slices of the series with another kind (localiser, reformat or no CT) were left out.",),
)
def localiser_inside(folder):
    write_pass(folder / "in" / "ct", range(24))
    write_pass(folder / "in" / "scout", range(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    return folder / "in"


@case(
    "a thin and a thick series under one UID",
    handled="read, the thin one, and flagged",
    flags=("12 slices of the series with another reconstruction or number were left out.",),
)
def one_uid_for_two_series(folder):
    write_pass(folder / "in" / "thick", range(12), image=volume(size=(40, 36, 12), spacing=(1.5, 1.5, 5.0)))
    write_pass(folder / "in" / "thin", range(24))
    return folder / "in"


@case(
    "a soft and a sharp kernel under one UID",
    handled="read, the sharp one, and flagged",
    flags=("24 slices of the series with another reconstruction or number were left out.",),
)
def two_kernels(folder):
    write_pass(folder / "in" / "soft", range(24), image=volume() - 7, ConvolutionKernel="B30f")
    write_pass(folder / "in" / "sharp", range(24))
    return folder / "in"


@case(
    "slices above the scan with the table moved to the side",
    handled="read, without them, and flagged",
    flags=("10 slices of the series with another place in the plane were left out.",),
)
def moved_table(folder):
    write_pass(folder / "in" / "a", range(24))
    write_pass(folder / "in" / "b", range(24, 34), image=moved(LONGER, x=9.0))
    return folder / "in"


@case(
    "a slice at the end without a position, and one that is cut within its header",
    handled="read, without them, and flagged",
    flags=("Files of the series without a readable image and its position: 2; they were left out.",),
)
def slices_without_a_place(folder):
    write_pass(folder / "in", range(26), image=LONGER)
    *_, first, second = files_of(folder / "in")
    item = pydicom.dcmread(first)
    del item.ImagePositionPatient
    item.save_as(first)
    second.write_bytes(second.read_bytes()[:400])
    return folder / "in"


@case(
    "an empty and a cut file named .dcm among the slices",
    handled="read, without them, and flagged",
    flags=("Files of the series without a readable image and its position: 2; they were left out.",),
)
def empty_slices(folder):
    write_series(folder / "in", volume())
    (folder / "in" / "25.dcm").write_bytes(b"")
    (folder / "in" / "26.dcm").write_bytes(bytes(100))
    return folder / "in"


# Refused, each for its own reason


@case(
    "no modality, but the SOP class of CT",
    handled="read, and flagged",
    flags=("24 slices were without a modality; their SOP class says that they are CT.",),
)
def no_modality(folder):
    return write_series(folder / "in", volume(), tags={"Modality": None})


@case(
    "no modality and no SOP class",
    refused="The 24 DICOM images name no modality, and no SOP class says that they are CT; "
    "export the original CT series.",
)
def no_modality_nor_class(folder):
    return write_series(folder / "in", volume(), tags={"Modality": None, "SOPClassUID": None})


@case("MR slices", refused="The 24 DICOM images are not CT (modality MR); give the folder of the CT series.")
def magnetic_resonance(folder):
    return write_series(folder / "in", volume(), tags={"Modality": "MR"})


REFORMAT = {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}


@case(
    "a reformat alone",
    refused="The 24 DICOM images are no original slices but a reformat or projection (ImageType AVERAGE, "
    "REFORMATTED); export the original axial series, or name this one in `series`.",
)
def reformat_alone(folder):
    return write_series(folder / "in", volume(), tags=REFORMAT)


@case("a reformat alone, which `series` names", series="2", handled="read")
def reformat_named(folder):
    return write_series(folder / "in", volume(), tags=REFORMAT)


@case("localisers alone", refused="Only localisers (2 DICOM images) are in it; export the thin slices of the chest.")
def localisers_alone(folder):
    return write_series(folder / "in", volume(), tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, keep=[0, 1])


@case(
    "a coronal series and a localiser",
    refused="The 34 images of the likeliest series are coronal, sagittal or oblique; export the axial series.",
)
def coronal_alone(folder):
    write_series(folder / "in" / "a", volume(size=(40, 36, 34), direction=CORONAL))
    write_series(folder / "in" / "b", volume(), tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, keep=[0, 1])
    return folder / "in"


@case(
    "slices that all carry one position",
    refused="The 24 DICOM images all carry the same position; export the original series with its positions.",
)
def one_position(folder):
    return write_series(folder / "in", volume(), tags={"ImagePositionPatient": [0, 0, 0]})


@case(
    "slices of an injection's timing: four places, six times",
    refused="The 24 DICOM images lie at only 4 positions; at least 10 are needed: export the chest.",
)
def few_places(folder):
    def change(item, index):
        item.ImagePositionPatient = [0, 0, index % 4]

    return number(write_series(folder / "in", volume()), change)


# Links


@case("a visit's folder with a link to the folder of its series", handled="read", kind=LINKS)
def linked_folder(folder):
    write_series(folder / "archive" / "a1", volume())
    (folder / "in").mkdir()
    (folder / "in" / "SER00001").symlink_to("../archive/a1")
    return folder / "in"


@case("a visit's folder with links to files, and to their folder", handled="read, each once", kind=LINKS)
def linked_files(folder):
    write_series(folder / "archive" / "a1", volume())
    (folder / "in").mkdir()
    for path in files_of(folder / "archive" / "a1"):
        (folder / "in" / path.name).symlink_to(path)
    (folder / "in" / "all").symlink_to("../archive")
    return folder / "in"


@case("links in a circle, to the root, and to the folder above, where another visit lies", handled="read", kind=LINKS)
def circle(folder):
    write_series(folder / "patient" / "other", volume() - 7, tags={"StudyInstanceUID": "1.2.9"})
    write_series(folder / "patient" / "in" / "a", volume())
    for name, target in {"a/b": "../a", "a/c": "..", "up": "..", "root": "/"}.items():
        (folder / "patient" / "in" / name).symlink_to(target)
    return folder / "patient" / "in"


@case(
    "a link that leads nowhere beside the slices",
    handled="read, and flagged",
    flags=("Links in the folder that lead nowhere: 2; they were passed over.",),
    kind=LINKS,
)
def dead_link(folder):
    write_series(folder / "in", volume())
    (folder / "in" / "more").symlink_to("not/there")
    (folder / "in" / "itself").symlink_to("itself")
    return folder / "in"


@case(
    "links alone, which lead nowhere",
    refused="Links (24) in the folder lead nowhere, and nothing else in it can be read; "
    "copy or mount what they stand for.",
    kind=LINKS,
)
def dead_links(folder):
    (folder / "in").mkdir()
    for index in range(24):
        (folder / "in" / f"{index}.dcm").symlink_to(f"../annex/{index}")
    return folder / "in"


@case("a link without suffix to a zip of a folder with a dose report", handled="read", kind=LINKS)
def linked_zip(folder):
    write_series(folder / "in", volume())
    report(folder / "in" / "dose.dcm")
    files = sorted((folder / "in").iterdir())
    (folder / "ses-01").symlink_to(put_in_zip(folder / "ct.zip", *files, below=folder))
    return folder / "ses-01"


@case("a volume file through a linked folder", handled="read", kind=LINKS)
def linked_volume(folder):
    (folder / "archive").mkdir(), (folder / "in").mkdir()
    sitk.WriteImage(volume(), str(folder / "archive" / "ct.nii.gz"))
    (folder / "in" / "nifti").symlink_to("../archive")
    return folder / "in"


# Numbers that geometry and pixels contradict, and what only looks like another trouble


@case(
    "three images that watch an injection, of one place and one acquisition, in the series of the chest",
    handled="read, without them, and flagged",
    flags=("3 slices of another acquisition were left out.",),
)
def watched_injection(folder):
    write_pass(folder / "in" / "chest", range(24), AcquisitionNumber=2)
    for index in range(3):
        write_pass(folder / "in" / f"watch{index}", [10], image=volume() + 3 + 7 * index)
    return folder / "in"


@case(
    "two overlapping passes, other images in the overlap, told apart by AcquisitionTime alone",
    handled="joined, the overlap from the longer, and flagged",
    flags=("2 passes were joined; where they overlap, 5 slices of the shorter were left out.",),
)
def passes_by_time(folder):
    write_pass(folder / "in" / "a", range(15), AcquisitionTime="101010", InstanceNumber=1)
    write_pass(folder / "in" / "b", range(10, 24), AcquisitionTime="101110", InstanceNumber=1, differs=range(10, 15))
    return folder / "in"


@case(
    "another image at one position, which no number tells apart",
    refused="The series holds different images at 1 of its 24 positions, and no number tells which belong together; "
    "export the series again.",
)
def one_other_image(folder):
    write_pass(folder / "in" / "a", range(24))
    write_pass(folder / "in" / "b", [3], image=volume() + 1)
    return folder / "in"


@case(
    "the lower half as a series whose positions do not go on",
    handled="read, the longer series, and flagged",
    flags=(
        "11 slices of other series were left out that lie up to 30 mm beyond those read, which span only 30 mm: "
        "is a part of the chest missing?",
    ),
    resampled=True,
)
def halves_apart(folder):
    write_pass(folder / "in" / "a", range(12))
    write_pass(folder / "in" / "b", range(13, 24), SeriesInstanceUID="1.2.4", SeriesNumber=3)
    return folder / "in"


@case(
    "the lower half with another kernel, as a series of its own",
    handled="read, the longer series, and flagged",
    flags=(
        "10 slices of other series were left out that lie up to 25 mm beyond those read, which span only 35 mm: "
        "is a part of the chest missing?",
    ),
    resampled=True,
)
def halves_of_two_kernels(folder):
    write_pass(folder / "in" / "a", range(14))
    write_pass(folder / "in" / "b", range(14, 24), SeriesInstanceUID="1.2.4", SeriesNumber=3, ConvolutionKernel="B30f")
    return folder / "in"


PATIENTS = "There are CT images of 2 patients (PatientID) in it; give those of one patient."


@case("series of two patients under one study UID", refused=PATIENTS)
def two_patients(folder):
    write_pass(folder / "in" / "a", range(24), PatientID="A")
    write_pass(folder / "in" / "b", range(24), image=volume() - 7, PatientID="B", SeriesInstanceUID="1.2.4")
    return folder / "in"


@case("two patients under one series UID, each half a chest", refused=PATIENTS)
def two_patients_in_a_series(folder):
    write_pass(folder / "in" / "a", range(12), PatientID="A")
    write_pass(folder / "in" / "b", range(12, 24), PatientID="B")
    return folder / "in"


@case("a PatientID of its own for each slice, as a bad pseudonymisation leaves", handled="read")
def patient_of_each_slice(folder):
    def change(item, index):
        item.PatientID = f"X{index}"

    return number(write_series(folder / "in", volume()), change)


@case("a distance of slices of 0 in the header", handled="read by the positions")
def no_distance_of_slices(folder):
    return write_series(folder / "in", volume(), tags={"SpacingBetweenSlices": 0.0})


@case("a distance of slices below 0 in the header, which says the direction alone", handled="read")
def distance_below_zero(folder):
    return write_series(folder / "in", volume(), tags={"SpacingBetweenSlices": -2.5})


@case("one SOPInstanceUID for all slices", handled="read")
def one_instance_uid(folder):
    return write_series(folder / "in", volume(), tags={"SOPInstanceUID": "1.2.3.9"})


@case("a slice thickness that is rounded otherwise from slice to slice", handled="read")
def rounded_thickness(folder):
    def change(item, index):
        item.SliceThickness = 2.5 + 0.01 * (index % 3)

    return number(write_series(folder / "in", volume()), change)


@case(
    "a gantry tilt in the header alone",
    handled="read, and flagged",
    flags=(
        "The header says that the gantry was tilted by 20 degrees, and the positions do not: the scan may be sheared; "
        "look at the pictures.",
    ),
)
def tilt_in_the_header(folder):
    return write_series(folder / "in", volume(), tags={"GantryDetectorTilt": -20.0})


@case(
    "a field of view that the pixels contradict",
    handled="read by the pixels, and flagged",
    flags=("The header says that the field of view is 350 mm wide, the slices are 60 mm: cropped?",),
)
def other_diameter(folder):
    return write_series(folder / "in", volume(), tags={"ReconstructionDiameter": 350.0})


@case(
    "pixels that are not square",
    handled="read, and flagged",
    flags=("The pixels are 3 mm wide and 1.5 mm high; those of a scanner are square.",),
    resampled=True,
)
def flat_pixels(folder):
    return write_series(folder / "in", volume(), tags={"PixelSpacing": [1.5, 3.0]})


@case(
    "a pixel size of a tenth",
    handled="read, and flagged",
    flags=(
        "The scan is 6 mm wide, 5 mm deep and 60 mm high, smaller than any chest: is the voxel size in the header "
        "right?",
    ),
    resampled=True,
)
def tenth_of_a_pixel(folder):
    return write_series(folder / "in", volume(), tags={"PixelSpacing": [0.15, 0.15]})


@case(
    "slices without positions",
    refused="The DICOM images (24) do not say where they lie (they have no ImagePositionPatient); "
    "export the original slices.",
)
def no_positions(folder):
    return write_series(folder / "in", volume(), tags={"ImagePositionPatient": None})


@case(
    "one slice of 24 without a rescale",
    refused="1 of the 24 DICOM slices carries no rescale intercept, so the values are not Hounsfield units; "
    "export the original series.",
)
def one_without_rescale(folder):
    def change(item, index):
        if index == 5:
            del item.RescaleIntercept

    return number(write_series(folder / "in", volume()), change)


@case(
    "slices marked as inverted",
    refused="The DICOM images are marked as inverted (MONOCHROME1), which no CT is; export the original series.",
)
def marked_as_inverted(folder):
    return write_series(folder / "in", volume(), tags={"PhotometricInterpretation": "MONOCHROME1"})


@case(
    "an enhanced file whose frames have no places",
    refused="The DICOM file holds many frames without their places; export single slices or NIfTI.",
)
def enhanced_without_places(folder):
    path = bad_inputs.write_enhanced(folder / "enhanced.dcm", volume())
    item = pydicom.dcmread(path)
    for frame in item.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    item.save_as(path)
    return path


@case(
    "an enhanced file that counts fewer frames than it describes",
    refused="The DICOM file holds many frames without their places; export single slices or NIfTI.",
)
def enhanced_of_fewer_frames(folder):
    path = bad_inputs.write_enhanced(folder / "enhanced.dcm", volume())
    item = pydicom.dcmread(path)
    item.NumberOfFrames = 20
    item.save_as(path)
    return path
