"""The pages on which people look at every label, and answer gold sets, in their browser.

In: an output with a snapshot, or with parts where nothing is published, and its pairs. Out: a web
server on this machine: rows by filters, one pair with every vote about it, where two judges or two
snapshots differ; and answers under ``gold/``, the one thing that it writes. Read
``label_columns.py``, ``browse.py``, ``annotation.py`` and ``review_server.py`` in that order.
"""
