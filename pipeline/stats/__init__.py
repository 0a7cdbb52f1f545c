"""Statistics: measures of agreement and calibration, and how sure they are.

In: one value a row as numpy arrays, or counts. Out: estimates with 95 % intervals, by a bootstrap
over clusters of rows (``bootstrap``) or from counts alone (``wilson``, ``intervals``). Nothing here
knows of stores, judges or labels. Read ``bootstrap`` first: the other measures are statistics in
its sense.
"""
