"""The headers of all scans below a folder.

files        all files below a folder
raw_headers  a header's values as they stand in the file
headers      the headers of all of them
series       which series of a study is the lung scan, and why not the others
volumes      scans and masks among volume files
years        when visits were, by small tables in a tree
"""
