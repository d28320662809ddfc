"""The target `tables`: from a tree of files to the user's tables.

make        all of it, one after the other
studies     studies and patients of a tree
doubts      what is doubtful in them
pseudonyms  who is who, kept in private/
rows        their rows of the tables
writing     new rows into tables that are there
words       what it says on a terminal
"""
