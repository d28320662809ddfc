"""Patients and their visits.

scans            the usable scans, in the order of time, and their files
patient          one patient's visits, read when they are asked for
tasks            which visits are given and which withheld
times            rounding, the visit a forecast starts from, straight lines and blends in time
baseline         the visit that a patient's others are registered to
copies           one scan under two names
split            patients to train, val, test and external
given_forecasts  volumes by somebody else's method, in a folder
power            what a cohort can show, before anything is run
"""
