"""The errors a user can meet, each with the exit code of the job that shows it.

Bugs are not here: they propagate as what they are.
"""

from __future__ import annotations

from pipeline.runtime.printable import without_secrets
from schemas.labels import Reason

EXIT_CODES = {
    0: "done, also if there was nothing to do",
    1: "a bug, a hook that failed, or rows that do not reconcile",
    2: "configuration, input or storage cannot be used",
    3: "the gate refused the snapshot; readers keep the one before",
    4: "more rows or shards are quarantined than the configuration allows",
    5: "another run holds the lease, or published first",
    6: "the budget (--max-judgments, --max-usd) is spent; the same command goes on",
    130: "interrupted (Ctrl-C); the same command goes on",
    143: "stopped by SIGTERM; the same command goes on",
}
"""What the exit code of a command means."""

BUG, BLOCKED, INTERRUPTED = 1, 3, 130
_MOST_DETAIL = 1_000  # characters


class PairmillError(Exception):
    """An error that a user can act on; its message says what, where, got, expected, what to do."""

    exit_code = 1


class ConfigError(PairmillError):
    """The configuration cannot be used."""

    exit_code = 2


class InputError(PairmillError):
    """The input breaks the pairs contract as a whole (one bad row is quarantined instead)."""

    exit_code = 2


class StorageError(PairmillError):
    """A URI cannot be read or written; names the URI and the cause, never a credential."""

    exit_code = 2


class EngineStartError(PairmillError):
    """The judge's engine cannot be started with this configuration."""

    exit_code = 2


class EndpointError(PairmillError):
    """A judge's server refuses or fails requests whatever they ask; no row is at fault."""

    exit_code = 2


class EngineDeadError(PairmillError):
    """The engine under a live worker died: the worker must be replaced."""


class ReconcileError(PairmillError):
    """What is stored is not what was read: rows are missing or doubled."""


class QuarantineError(PairmillError):
    """More rows (or whole shards) were quarantined than the configuration allows."""

    exit_code = 4


class LeaseHeldError(PairmillError):
    """Another run does the same work on this output right now."""

    exit_code = 5


class LeaseLostError(PairmillError):
    """This run stalled for so long that another may have taken its lease: it must stop."""

    exit_code = 5


class StoppedError(PairmillError):
    """Something has asked this command to end; what is committed stays, and it can go on."""

    exit_code = 143  # as shells have it: 128 and the number of SIGTERM


class BudgetSpentError(StoppedError):
    """The run has spent what it may; what is committed stays, and it can go on."""

    exit_code = 6


class PublishConflictError(PairmillError):
    """Another run published while this one was about to: nothing of this one is visible."""

    exit_code = 5


class RowRejected(Exception):
    """One row cannot be judged, for a reason that is stored with it.

    Attributes:
        reason: the quarantine reason of labels v1.
        detail: what exactly was wrong, for people; of a long text the beginning.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = without_secrets(detail)
        if len(detail) > _MOST_DETAIL:  # it is stored with each row, and may quote the row's data
            detail = f"{detail[:_MOST_DETAIL]}… ({len(detail):,} characters)"
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RowRejected], tuple[Reason, str]]:
        return RowRejected, (self.reason, self.detail)
