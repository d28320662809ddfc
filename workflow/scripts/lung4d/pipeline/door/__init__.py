"""What a user gives, read and checked before the first job: tables, settings, and what they say of each other.

cohort          the user's tables, checked at the door
cells           one table's text to typed rows
joins           which rows meet which scans
likely          names that people take for one
visit_years     dates to years, and their limits
name_lengths    how long the names of results get
stray_files     files that nobody reads
yaml_file       a YAML file as texts with their lines
wanted          texts as the values that their keys want
configuration   defaults overlaid by what the user says
forecast_times  times that make too much together
contradictions  keys that are each right and contradict each other
invalid         the error of the door, which tells everything at once
"""
