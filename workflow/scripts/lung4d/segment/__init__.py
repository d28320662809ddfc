"""Lung masks, and numbers that tell a good one from a bad one.

masks       by intensities or from a user, on the scan's own grid
given_mask  which values of a user's mask are lung, and whether it is this scan's
intensity   two lungs from HU alone, on the working grid
network     by the lungmask network, for which alone torch is needed
airways     trachea and main bronchi, taken out
left_right  which lung is which, where they touch
chest_wall  dense disease below the ribs, put back
trachea     its shape, which tells an expiration
posture     which way up the patient lay, by what hangs down in the lung
quality     numbers, flags and refusals
grid        the isotropic 2 mm grid that the work is done on
"""
