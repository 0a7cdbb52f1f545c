"""The time of day: nothing else asks this machine for it.

What has a store at hand takes that of its host (``pipeline.store.host``), which tests simulate.
"""

from __future__ import annotations

import datetime


def utc_now() -> datetime.datetime:
    """The time of day in UTC, which may be wrong on any machine."""
    return datetime.datetime.now(datetime.UTC)


def timestamp() -> str:
    """Now in ISO 8601, as logs, events and records have it: to the millisecond."""
    return utc_now().isoformat(timespec="milliseconds")
