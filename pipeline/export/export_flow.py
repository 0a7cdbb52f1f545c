"""How the tasks of an export run: small exports in this process, larger ones on Ray Data.

What tasks receive and return is small; rows and media stay within the task that reads them. Which
of the two runs them changes nothing in what is written.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from pipeline.labeling.label_config import WorkersConfig
from pipeline.runtime.reporter import Reporter
from schemas.manifest import Manifest

# One process exports so much sooner than a private Ray has started and its tasks have run.
IN_PROCESS_ROWS = 5_000
IN_PROCESS_BYTES = 2**30  # of the shards, in which media may be

_THREADS = 4  # they wait for the store, and each holds some row groups in memory
_BLOCKS = 2_000  # more tasks than any cluster runs at once; Ray keeps statistics of each for ever

Task = TypeVar("Task")
Result = TypeVar("Result")


class TaskMap(Protocol):
    """Runs a function for every task and yields the results as they come, in any order."""

    def __call__(
        self, tasks: Sequence[Task], function: Callable[[Task], Result]
    ) -> Iterator[Result]: ...


@contextmanager
def task_map(manifest: Manifest, workers: WorkersConfig, reporter: Reporter) -> Iterator[TaskMap]:
    """What runs the tasks of an export.

    Args:
        manifest: of the snapshot, whose size decides.
        workers: for Ray on a single machine.
        reporter: receives the start of Ray.
    """
    if fits_in_process(manifest):
        yield map_in_threads
        return
    from pipeline.labeling.cluster.ray_session import ray_session  # Ray takes seconds to import

    with ray_session(workers, reporter):
        yield map_on_ray


def fits_in_process(manifest: Manifest) -> bool:
    """Whether an export of this snapshot is small enough to run without Ray."""
    size = sum(shard.bytes for shard in manifest.shards)
    return manifest.rows <= IN_PROCESS_ROWS and size <= IN_PROCESS_BYTES


def map_in_threads(tasks: Sequence[Task], function: Callable[[Task], Result]) -> Iterator[Result]:
    """Runs tasks in threads of this process; yields the results in order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(function, tasks)  # after an error, what has not begun is cancelled


def map_on_ray(tasks: Sequence[Task], function: Callable[[Task], Result]) -> Iterator[Result]:
    """Runs tasks on Ray Data; tasks, function and results must be picklable.

    Raises:
        PairmillError: a task met an error that the user can act on.
    """
    from ray.data import DataContext

    from pipeline.labeling.dataflow import source_of, tables_of

    if not tasks:
        return
    DataContext.get_current().enable_progress_bars = False
    packed = [pickle.dumps(task) for task in tasks]
    size = -(-len(packed) // _BLOCKS)
    blocks = [
        pa.table({"task": pa.array(packed[start : start + size], pa.large_binary())})
        for start in range(0, len(packed), size)
    ]
    flow = source_of(blocks).map_batches(
        _Stage(function), batch_size=1, batch_format="pyarrow", num_cpus=1
    )
    for table in tables_of(flow):
        for data in table["result"].to_pylist():
            yield pickle.loads(data)


@dataclass(frozen=True)
class _Stage:
    """A function as Ray Data calls it: pickled tasks in, pickled results out, one at a time."""

    function: Callable[[Any], Any]
    __name__: str = "export"

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for data in batch["task"].to_pylist():
            result = pickle.dumps(self.function(pickle.loads(data)))
            yield pa.table({"result": pa.array([result], pa.large_binary())})
