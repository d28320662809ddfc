"""Patients with visits that cannot be used, for "a whole chosen by a checked part", and tables that change."""

# What became of a patient's visits after segmentation, in the order of time: "" is usable, else why not; "no voxel" is
# a mask that was let through empty.
EMPTY, WATER, CUT = "The file is empty; copy it again.", "No lungs found: 0 ml.", "It is cut short; copy it again."
NO_VOXEL = "no voxel"
PATIENTS = {
    "every visit usable": ("", "", ""),
    "the first cut": (CUT, "", ""),
    "the first without lungs": (WATER, "", ""),
    "the first with an empty mask": (NO_VOXEL, "", ""),
    "the first two": (EMPTY, WATER, ""),
    "all but the last of five": (EMPTY, WATER, CUT, EMPTY, ""),
    "a follow-up": ("", CUT, ""),
    "the last": ("", "", EMPTY),
    "the first and the last": (CUT, "", WATER),
    "the only one": (EMPTY,),
    "all": (EMPTY, WATER, CUT),
}

# What changes in a finished cohort of two patients with three visits each, the baseline of `usual` being its first and
# that of `late` its second, and how many jobs of the stages of a scan follow: a scan is registered again
# for a change of what comes before it.
CHANGES = {
    "nothing": {},
    "a later visit": {"convert": 2, "segment": 2, "register": 2, "resample": 2},
    "a visit between two": {"convert": 2, "segment": 2, "register": 4, "resample": 4},
    "two more visits": {"convert": 4, "segment": 4, "register": 6, "resample": 6},
    "the file of a follow-up": {"convert": 2, "segment": 2, "register": 3, "resample": 3},
    "the file of the baseline": {"convert": 2, "segment": 2, "register": 5, "resample": 5},
    "the file of the first visit": {"convert": 2, "segment": 2, "register": 6, "resample": 6},
    "a patient more": {"convert": 1, "segment": 1, "register": 1, "resample": 1},
}
