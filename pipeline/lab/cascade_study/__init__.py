"""Does a cascade pay? Error against price of a reward model before a judge that writes.

In come a reward model's labels and the ways of asking a judge about the same pairs: simulated from
published error rates (``published_judges``), or replayed on stored votes of the tiny judges
(``stored_judges``). Out come, for each error, the cheapest cascade, judge alone and random routing
(``routes``), and a chart. Read ``routes`` first, then ``cascade_bench``.
"""
