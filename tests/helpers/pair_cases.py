"""Follow-ups that a registration fitted to lung masks would let pass: whose scan it is (a number of the cohort), and
which of its axes x, y, z lie the wrong way."""

WRONG_PAIRS = {
    "another person": (1, (False, False, False)),
    "mirrored left to right": (0, (True, False, False)),
    "back to front": (0, (False, True, False)),
    "head to foot": (0, (False, False, True)),
    "turned about the long axis": (0, (True, True, False)),
    "turned about the axis from left to right": (0, (False, True, True)),
    "turned about the axis from front to back": (0, (True, False, True)),
    "all three axes": (0, (True, True, True)),
}
