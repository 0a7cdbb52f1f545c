"""How every command ends: an exit code, and one sentence where it is not 0."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline.runtime.errors import PairmillError, StoppedError

_INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


def run_command(body: Callable[[], int], interrupted: str) -> int:
    """Runs a command's work; returns its exit code.

    Args:
        body: the work; returns the exit code.
        interrupted: what to tell who ends it by Ctrl-C: what became of the work, what to do next.

    Raises:
        Exception: a bug, as what it is; what a user can act on becomes a message on stderr.
    """
    try:
        return body()
    except StoppedError as stopped:  # no error: it did what it was told
        sys.stderr.write(f"{stopped}\n")
        return stopped.exit_code
    except PairmillError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return _INTERRUPTED
