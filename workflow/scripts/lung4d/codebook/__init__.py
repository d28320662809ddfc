"""The codebook code by code.

usage     how often each code occurs in the lungs, which density it stands for, and where to see it
decoding  what each code looks like, decoded alone
shown     which codes are shown, and in which order; without torch
"""
