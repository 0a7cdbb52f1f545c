"""The pairmill pipeline: core (pure) → workers (stages) → assembly (Ray Data and the store).

What trainers need of it is here: :func:`open_snapshot` and :func:`snapshot_files`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["open_snapshot", "snapshot_files"]


def open_snapshot(uri: str, which: str = "LATEST", table: str = "labels") -> ds.Dataset:
    """Opens a table of a published snapshot; exactly the files of its manifest, and no others.

    Args:
        uri: the output root of the labeling jobs, a local path or ``s3://bucket/prefix``.
        which: ``LATEST``, or a snapshot's id.
        table: ``labels`` (labeled, tie and abstained rows), ``quarantine`` (the same columns) or
            ``votes`` (one row a vote); the columns are in ``schemas.snapshots``.

    Returns:
        A ``pyarrow.dataset.Dataset``; nothing of the files has been read.

    Raises:
        InputError: nothing is published there, or by another version of this software.
        StorageError: the store fails.
    """
    # Here, so that `import pipeline` stays light.
    from pipeline.snapshots import snapshot_reader as reader

    return reader.open_snapshot(uri, which, table)


def snapshot_files(uri: str, which: str = "LATEST", table: str = "labels") -> list[str]:
    """The files of a table of a snapshot, such as for Hugging Face ``datasets``:
    ``load_dataset("parquet", data_files=snapshot_files(uri))``.

    Arguments and errors are those of :func:`open_snapshot`.
    """
    from pipeline.snapshots import snapshot_reader as reader

    return reader.snapshot_files(uri, which, table)
