"""The contracts of pairmill, versioned, and imported by every room.

Arrow schemas of pairs (what is judged), labels (what labeling writes) and snapshot tables (what
readers get), and the stored JSON records of a snapshot. Needs pyarrow, and pydantic for records.
Read ``pairs.py`` and ``labels.py`` first; ``records.py`` is the base of the JSON records.
"""
