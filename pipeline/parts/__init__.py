"""The stored votes: parts, their revisions, and where the newest votes about a pair are.

In: the labels of a unit, which is a range of rows of one version of a shard. Out: parts, written
once and never overwritten, and an index of them by pair. Read ``part_keys.py`` first: it has the
names that say what a part holds; ``commit.py`` writes, ``label_index.py`` finds.
"""
