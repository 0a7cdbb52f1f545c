"""Names of runs."""

from __future__ import annotations

import datetime
import secrets


def new_run_id() -> str:
    """A name for a run that begins now; names sort by time."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
