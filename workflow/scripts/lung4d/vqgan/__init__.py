"""Stage 1: the 3D-VQ-GAN that turns a CT volume into codes and back.

model           encoder, codebook and decoder, and how they are stored
networks        encoder and decoder, block by block
layers          the layers that a step mostly consists of
quantiser       the nearest code, and how the codebook moves
discriminators  2D and 3D, and the slices they see
perceptual      distance in the features of a frozen network
losses          the terms of equations 2 to 5
options         how it is trained
memory          a step made to fit a card
data            samples as a pure function of a counter
acquisitions    the same as other scanners would have shown them
run             what a training holds, and how it begins
step            one optimiser step
validation      how well held-out scans are reconstructed
selection       which weights are kept
training        the loop
extraction      a scan to its latents and back
"""
