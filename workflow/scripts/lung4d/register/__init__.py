"""Keypoint-based registration of lung CT (CorrField: Heinrich 2015, Hansen & Heinrich 2021).

Inside the package an image is a C-contiguous float32 array (D, H, W) on an isotropic grid, a displacement field is
float32 (D, H, W, 3) in voxels of that grid with components in axis order (z, y, x), and a grid point x maps to x +
u(x). Only `registration` and `grid` know millimetres and SimpleITK's world.

registration    two scans and their masks to a field and its inverse
grid            between SimpleITK's world and the isotropic arrays
align           the affine map that lays the lung masks over each other
keypoints       well distributed points of high structure
descriptors     MIND-SSC, as bits
costs           how unlike two patches are, over a cube of displacements
tree            a tree over the keypoints, and belief propagation on it
correspondence  one level of the coarse-to-fine search
dense           displacements at keypoints to a dense field
fields          warp, compose, invert, Jacobian, mended folds
surface         distance to the surface of a region
changed         where the tissue itself changed, which motion must not explain
refine          the field tuned on intensities inside the lung
replacement     the follow-up on the baseline's grid, non-lung from the baseline
acquisition     how a visit was taken otherwise than its baseline
expansion       what breath did to the lung: volume, mass, and a coarse map of the local expansion
quality         how well two scans were registered, in numbers and sentences
surroundings    bones and airways around the lungs, compared block by block
pair_score      evidence and score that a follow-up is another person, or lies the wrong way
pair_check      the check of a registered pair, and which other signs of its axes would fit
"""
