"""Stage 1: the 3D-VQ-GAN that turns a CT volume into codes and back."""
