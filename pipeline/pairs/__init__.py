"""The input: preference pairs in Parquet shards, whatever their columns are called.

In: a URI and a column mapping (``input_config``). Out: shards with an identity (``shards``), their
row groups as tables of pairs v1, each row with its defect (``row_groups``), and the hash of what is
judged (``pair_hash``). ``shard_writer`` writes such shards. Read ``row_groups`` first.
"""
