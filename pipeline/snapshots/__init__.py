"""Snapshots: immutable published labels of one judge, of which ``LATEST.json`` names the live one.

In come the input's shards and the parts that labeling has committed for them. Out go compacted
files, a manifest, ``quality.json`` and the gate's decision; readers, rollback and retention work
on these. Read ``publish_snapshot.py`` first, then ``manifests.py``; ``quality`` measures.
"""
