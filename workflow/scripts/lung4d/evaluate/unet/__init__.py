"""A rival on demand: one plain U-Net that is told the years, trained on images alone with the disease model's budget.

network     what it sees of the given scans, the network, and its file
training    its training, which survives any kill
forecaster  its forecasts as the judge calls them
comparison  the table and the page that it ends in
"""
