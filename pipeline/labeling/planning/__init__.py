"""What a run has to do: rows of shards that no part has yet, or that are asked about again.

In: shards, the judge's parts and the live snapshot. Out: a plan, its units by shard. Read
``plan.py`` first.
"""
