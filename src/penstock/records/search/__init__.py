"""The filter grammar of searches: text in, comparisons out, and a comparison in SQL.

`tokens` cuts text, `clauses` finds comparisons in it, `entities` says what each kind of thing can be asked,
`values` reads and checks, `wording` says what is wrong, `grammar` is what others call. `sql` compares a column.
Which table answers a comparison is the business of the stores (`penstock.tracking`, `penstock.registry`).
"""
