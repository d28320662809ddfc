"""Keypoint-based registration of lung CT (CorrField: Heinrich 2015, Hansen & Heinrich 2021).

Inside the package an image is a C-contiguous float32 array (D, H, W) on an isotropic grid, a displacement field is
float32 (D, H, W, 3) in voxels of that grid with components in axis order (z, y, x), and a grid point x maps to x +
u(x). Only `registration` and `grid` know millimetres and SimpleITK's world.
"""
