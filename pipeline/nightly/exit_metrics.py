"""How the last nightly run ended, for Prometheus to read while nothing runs.

The metrics of a run end with its Ray. What must be known in the morning (did it succeed, and when)
is written to what stays up: a file of node_exporter's textfile collector, or a Pushgateway.
"""

from __future__ import annotations

import logging
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.labeling.prometheus_metrics import (
    NIGHT_ENDED,
    NIGHT_EXIT_CODE,
    NIGHT_SECONDS,
    NIGHT_SUCCEEDED,
    Metric,
)
from pipeline.runtime.clock import utc_now
from pipeline.runtime.config_file import Frozen
from pipeline.runtime.faults import exit_code_of

logger = logging.getLogger(__name__)
_PUSH_S = 10


class MetricsConfig(Frozen):
    """Where a nightly run stores how it ended; nowhere by default."""

    textfile: Path | None = None
    """A file of node_exporter's textfile collector, such as
    ``/var/lib/node_exporter/textfile/pairmill.prom``.
    """
    push_url: str | None = None
    """The URL of a group of a Pushgateway, such as
    ``http://pushgateway:9091/metrics/job/pairmill/output/production``.
    """


class NightExit:
    """How a nightly run ends.

    Attributes:
        exit_code: set by the caller; an error has its own.
    """

    exit_code = 0


@contextmanager
def exit_reported(config: MetricsConfig) -> Iterator[NightExit]:
    """Stores how the block ends, also where it raises.

    So does a run that another command kept from starting: nobody else says that this night was not
    done. A failure to store is logged, and changes nothing about the run.
    """
    began, outcome = time.monotonic(), NightExit()
    try:
        yield outcome
    except BaseException as error:
        _report(config, began, exit_code_of(error))
        raise
    _report(config, began, outcome.exit_code)


def _report(config: MetricsConfig, began: float, exit_code: int) -> None:
    now = utc_now().timestamp()
    values: dict[Metric, float] = {
        NIGHT_ENDED: round(now, 3),
        NIGHT_SECONDS: round(time.monotonic() - began, 3),
        NIGHT_EXIT_CODE: exit_code,
    }
    if not exit_code:
        values[NIGHT_SUCCEEDED] = round(now, 3)
    text = "".join(
        f"# HELP {metric.name} {metric.text}\n# TYPE {metric.name} gauge\n{metric.name} {value}\n"
        for metric, value in values.items()
    )
    try:
        if config.textfile is not None:
            kept = _last_success(config.textfile) if exit_code else ""
            _write(config.textfile, text + kept)
        if config.push_url is not None:
            # POST keeps what it does not name: the time of the last success.
            request = urllib.request.Request(config.push_url, text.encode(), method="POST")
            with urllib.request.urlopen(request, timeout=_PUSH_S):
                pass
    except (OSError, ValueError) as error:
        logger.warning("how the run ended could not be reported to Prometheus: %s", error)


def _write(path: Path, text: str) -> None:
    """Replaces the file atomically: the collector may read at any moment."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(0o644)
    scratch.replace(path)


def _last_success(path: Path) -> str:
    """The lines about the last success, as they were."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    return "".join(re.findall(rf"^(?:# \w+ )?{NIGHT_SUCCEEDED.name} .*\n", before, re.M))
