"""Pictures of the report as PNG bytes: small functions of arrays and tables, drawn with matplotlib's Agg.

`slices` turns volumes into tiles, `mosaic` lays tiles out, `scans` composes the CT figures from both,
`charts` draws curves and intervals, each in a light and a dark palette.
"""
