"""Judges in order of cost, each asked about what those before leave open.

In: a configuration with ``cascade.judges``. Out: parts and a record of each judge. Read
``cascade_run.py`` first.
"""
