"""The report: one offline page, described as data and laid out by a template.

`chapters/` turns results into parts, one module a chapter; `templates/` holds the HTML and the style sheet.

report        the whole page from a run's results
page          the parts that a page is made of, and their rendering
results       everything that a run left to be told
formatting    numbers as a reader expects them
methods_text  a paragraph per stage
deviations    where the defaults depart from the paper
references    the works cited
folder_map    a map of the results folder
"""
