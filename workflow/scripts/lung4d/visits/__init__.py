"""Patients and their visits.

split  patients to train, val, test and external
tasks  which visits are given and which withheld
"""
