"""The flow of an export on Ray Data: shards looked at, then parts written, both as they come.

What tasks are given and give back is small; rows and media stay within the task that reads them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.data import DataContext

from pipeline.labeling.dataflow import tables_of

_BLOCKS = 2_000  # more tasks than any cluster runs at once; Ray keeps statistics of each for ever

Stage = Callable[[pa.Table], Iterator[pa.Table]]


def map_tasks(tasks: Iterable[Any], stage: Stage) -> Iterator[Any]:
    """What a stage makes of every task, as they are done.

    Args:
        tasks: can be pickled.
        stage: takes a column ``task`` and yields rows of a column ``result``, both pickled.

    Raises:
        PairmillError: a task met an error that the user can act on.
    """
    packed = [pickle.dumps(task) for task in tasks]
    if not packed:
        return
    context = DataContext.get_current()
    context.enable_progress_bars = False
    blocks = [pa.table({"task": pa.array(some, pa.large_binary())}) for some in _cut(packed)]
    flow = ray.data.from_arrow(blocks).map_batches(
        stage, batch_size=1, batch_format="pyarrow", num_cpus=1
    )
    for table in tables_of(flow):
        for data in table["result"].to_pylist():
            yield pickle.loads(data)


def _cut(packed: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    size = -(-len(packed) // _BLOCKS)
    for start in range(0, len(packed), size):
        yield packed[start : start + size]
