"""What every command and stage stands on, whatever it is about.

Errors and their exit codes, log records, reports to the terminal, commands with their options and
settings, the reading of configurations, steps of a run, and how a run is stopped. Knows nothing of
pairs, judges or stores. Read ``errors.py``, then ``command.py``.
"""
