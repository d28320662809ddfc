"""Chapters of the report: each module turns results into sections, in words where there is nothing to show."""
