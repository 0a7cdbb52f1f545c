"""The quality of a snapshot: measured once when it is published, kept in its ``quality.json``."""
