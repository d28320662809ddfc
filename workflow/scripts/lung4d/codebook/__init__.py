"""The codebook code by code.

- usage: how often each code occurs in the lungs, which density it stands for, and where to see it
- shown: which codes are shown, and in which order
- decoding: what each code looks like, decoded alone
"""
