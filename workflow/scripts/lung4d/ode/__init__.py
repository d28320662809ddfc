"""Stage 2: the latent disease ODE (appendix D.3 of the 4D-VQ-GAN paper), from visits at any times to any times.

model          given visits to the latent and the scan at other times
observed       the visits as tensors, whole and in boxes
features       plain numbers of the scans, told beside the latents
told           numbers that are known of a visit beside its scan
convgru        visits to one hidden state
dynamics       the ODE and its solution
image_decoder  forecasts drawn at the scan's own resolution
convolution    a 3D convolution that stays fast for a small latent
decoding       from a forecast to volumes
ensemble       several models as one, and how they are stored
calibration    how far off forecasts are, and the bands that say so
volume         lung volume over the years, in ml
patients       whom it learns from, and boxes around places in the lung
samples        a patient, a crop and given visits, as a pure function of a counter
options        how it is trained
losses         of latents and of drawn scans
step           one optimiser step
validation     forecasts of visits that were not given
training       one member of the ensemble after the other
"""
