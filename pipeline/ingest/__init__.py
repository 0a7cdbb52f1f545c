"""Converts what people have (public preference sets, Parquet, JSON, CSV) to shards of pairs.

In comes anything that ``datasets.load_dataset`` reads, and a mapping of its columns; out go
shards of pairs v2 of even size, one row for each row of the source, and a report of the rows that
cannot be judged. Media are kept encoded, as paths or inline. Read ``ingest`` first; the evaluation
of judges uses it too, for benchmarks.
"""
