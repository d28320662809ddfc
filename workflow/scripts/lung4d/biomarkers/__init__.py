"""Code frequencies and read-outs of real and generated scans.

breath    the densities of a visit as they would be in the baseline's depth of breath
matching  all visits of a patient brought to one noise and sharpness
measures  of one scan, from its codes, volume and mask
repeats   what two scans differ by though nothing has changed
table     the table that `biomarkers` writes and `survival` reads, with nothing but pandas
"""
