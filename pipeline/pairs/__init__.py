"""The input: preference pairs in Parquet shards, in whatever layout people have them.

In: a URI, and where its columns hold the fields of a pair (``mapping_config``: a known layout from
``layouts/``, JMESPath expressions, or both). Out: shards with an identity (``shards``), their row
groups as tables of pairs v2, each row with its defect (``row_groups``), and the hash of what is
judged (``pair_hash``). ``shard_writer`` writes such shards. Read ``mapped_rows`` first.
"""
