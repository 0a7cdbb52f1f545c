"""The page on which people look at every label, in their browser.

In: an output with a snapshot, or with parts where nothing is published, and its pairs. Out: a web
server on this machine: rows by filters, one pair with every vote about it, where two judges or two
snapshots differ. It changes nothing of what it shows. Read ``label_columns.py``, ``browse.py`` and
``server.py`` in that order.
"""
