"""Why models of one family speak in different numbers: several, over the same photos.

ranges          what the raw values span
common_form     one form for every kind of map
agreement       how far two maps agree once aligned
disagreement    where they do not
probe           token norms and sizes of every stage inside a network
edits           parameters changed by hand: what reaches the output, what does not
findings        what the figures say, in sentences
run             all of it over photos; `document` as JSON and CSV, `html` as a page
"""
