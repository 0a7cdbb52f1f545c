"""A Ray on one machine without the processes of which its job has no use.

Ray starts a server for its web pages even where it is told to have none (for its statistics of
use), a monitor that would add nodes to a cluster, one that shows a driver what its workers print,
and an agent that exports metrics. Each imports for a second of CPU or several, ``ray.init`` waits
for the first and the last of them, and the monitor of what is printed looks through all files of
all workers that ever were ten times a second. Ray 2.60 has no setting to leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import ray._private.utils
from ray._private.node import Node

from pipeline.runtime.replaced import replaced

_STARTS = ("start_api_server", "start_monitor", "start_log_monitor")


@contextmanager
def bare_ray(*, metrics: bool) -> Iterator[None]:
    """A Ray that is started inside has neither such a server nor such monitors.

    Args:
        metrics: whether it exports metrics.
    """
    with ExitStack() as inside:
        for name in _STARTS:
            inside.enter_context(replaced(Node, name, _nothing))
        if not metrics:  # as where the packages that Ray needs for it are not installed
            missing = (ray._private.utils, "get_dashboard_dependency_error", _left_out)
            inside.enter_context(replaced(*missing))
        yield


def _nothing(*_given: object, **_named: object) -> None:
    pass


def _left_out() -> ImportError:
    return ImportError("no metrics are exported")
