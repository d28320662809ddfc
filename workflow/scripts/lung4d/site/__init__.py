"""The report: one offline page, described as data and laid out by a template.

`page` holds the parts that a page is made of and renders them; `results` is everything a run left to be told;
`sections/` turns results into parts, one module a chapter; `templates/` holds the HTML and the style sheet.
"""
