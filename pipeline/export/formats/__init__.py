"""The files that trainers read, a file for each trainer.

In: labeled examples. Out: rows in a trainer's own columns. Read ``format_registry.py`` first; what
all formats share is ``trainer_format.py`` above.
"""
