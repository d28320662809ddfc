"""Code frequencies and read-outs of real and generated scans.

measures  of one scan, from its codes, volume and mask
repeats   what two scans differ by though nothing has changed
table     the table that `biomarkers` writes and `survival` reads, with nothing but pandas
"""
