"""Code frequencies and read-outs of real and generated scans.

measures  of one scan, from its codes, volume and mask
table     the table that `biomarkers` writes and `survival` reads, with nothing but pandas
"""
