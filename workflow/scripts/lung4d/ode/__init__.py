"""Stage 2: the latent disease ODE (appendix D.3 of the 4D-VQ-GAN paper), from visits at any times to any times."""
