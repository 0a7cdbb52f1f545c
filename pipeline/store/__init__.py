"""One object store for local folders and ``s3://``, and what needs its conditional writes.

In come URIs and keys. Out go listings, bytes, atomic objects (create-if-absent, compare-and-swap,
multipart uploads), leases between runs, and stored records read from JSON; every failure is a
StorageError that names the URI. Read ``object_store.py`` first, then ``lease.py``.
"""
