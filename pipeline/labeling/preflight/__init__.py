"""What would stop a run, found before it starts: by ``pairmill doctor``, in a few seconds.

In: a configuration, and the URIs of input and output. Out: a list of checks, each with what was
found and, where it would stop the run, what to do. Nothing is judged, no engine is started, and two
small objects under ``doctor/`` are all that is written. Read ``preflight.py`` first.
"""
