"""The pairmill pipeline: core (pure) → workers (stages) → assembly (Ray Data and the store).

What trainers need of it is here: :func:`open_snapshot` and :func:`snapshot_files`; and
:func:`judge`, which labels a few rows in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["judge", "open_snapshot", "snapshot_files"]


def judge(
    rows: Iterable[Mapping[str, Any]], config: Mapping[str, Any] | str
) -> list[dict[str, Any]]:
    """Judges a few rows in this process, without Ray or any storage.

    Args:
        rows: pairs as ``input`` in the configuration maps them, such as
            ``{"prompt": …, "response_a": {"text": …}, "response_b": {"text": …}}``.
        config: a configuration of ``pairmill label``, as a mapping or a YAML file's name.

    Returns:
        Rows of labels v2 in the same order, each with every vote; a row that cannot be judged is
        quarantined with its reason.

    Raises:
        PairmillError: the configuration cannot be used, or the engine does not start.
    """
    from pipeline.labeling.judge_in_memory import judge_in_memory

    return judge_in_memory(rows, config)


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
