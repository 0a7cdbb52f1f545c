"""The nightly run: brings labels, snapshot, exports and report of an output up to its input.

In: the configuration of all steps, input and output. Out: what the steps make (parts, a snapshot
unless the gate refuses it, exports, a report, hooks that were run) and a record of each. A step
skips what is done already, so that the same command continues a run that was ended. Read
``night.py`` first.
"""
