"""Whether code of today makes what code of an earlier commit made, so that nobody's results are made again.

`make equivalents BASE=<commit>` writes workflow/code_equivalents.tsv; docs/architecture.md says when it may be used.

ask            digests and files of every stage, asked of a commit's own code
checkout       a commit in a folder of its own, with the version of today
plain          a module's syntax without what changes no number
code           scripts and library as definitions and what their names stand for
scopes         names that a function, a class or a comprehension binds
bindings       what names stand for in two definitions that are walked through together
walk           two definitions side by side
outcome        what that gives
stages         two versions of a stage: every definition that it uses, old and new
effects        what modules do when they are imported, and the files that they carry
names          members of classes that were renamed, dropped or added
runs           the tiny run of a commit, kept in pytest's cache
results        two results folders, file by file
table          workflow/code_equivalents.tsv
__main__       the command
"""
