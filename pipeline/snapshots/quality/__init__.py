"""Measures a snapshot: rates with intervals, histograms, agreement with gold, and drift.

In come a snapshot's files, gold and text lengths of its input, and a run's canaries. Row groups are
counted one by one (``*_counts``, ``*_agreement``), and the sums become the ``quality.json`` of
``schemas.quality``. Read ``measure_snapshot.py`` first.
"""
