"""The errors a user can meet, each of a class of faults, which gives the exit code of the job.

Bugs are not here: they propagate as what they are. :mod:`pipeline.runtime.faults` sorts what
libraries raise.
"""

from __future__ import annotations

from enum import StrEnum

from pipeline.runtime.printable import without_secrets
from schemas.labels import Reason

EXIT_CODES = {
    0: "done, also if there was nothing to do",
    1: "a bug, a hook that failed, or rows that do not reconcile",
    2: "configuration, input, storage, Ray or a server cannot be used",
    3: "the gate refused the snapshot; readers keep the one before",
    4: "more rows or shards are quarantined than the configuration allows",
    5: "another run holds the lease or published first, or the input changed: run again",
    6: "the budget (--max-judgments, --max-usd) is spent; run the same command to go on",
    130: "interrupted (Ctrl-C); run the same command to go on",
    143: "stopped by SIGTERM; run the same command to go on",
}
"""What the exit code of a command means."""

BLOCKED, INTERRUPTED, TERMINATED = 3, 130, 143
_MOST_DETAIL = 1_000  # characters


class Fault(StrEnum):
    """Whose fault an error is, and so what is done about it."""

    ROW = "row"
    """Of one row, which is quarantined."""
    SHARD = "shard"
    """Of one file, which is named; the rest goes on."""
    TRANSIENT = "transient"
    """Of nobody: it is tried again for a while, and then ends the run."""
    CALLER = "caller"
    """Of configuration, credentials, permissions, clock or disk: ends the run."""
    CONFLICT = "conflict"
    """Somebody else did it, or changed it, meanwhile."""
    BUG = "bug"
    """Of this code: propagates as what it is."""

    @property
    def exit_code(self) -> int:
        """Of a run that ends with it."""
        return _ENDS_WITH[self]


_ENDS_WITH = {
    Fault.BUG: 1,
    Fault.CALLER: 2,
    Fault.TRANSIENT: 2,
    Fault.ROW: 4,
    Fault.SHARD: 4,
    Fault.CONFLICT: 5,
}


class PairmillError(Exception):
    """An error that a user can act on; its message says what, where, got, expected, what to do."""

    fault = Fault.BUG

    @property
    def exit_code(self) -> int:
        """Of a job that shows it."""
        return self.fault.exit_code


class ConfigError(PairmillError):
    """The configuration cannot be used."""

    fault = Fault.CALLER


class InputError(PairmillError):
    """The input breaks the pairs contract as a whole (one bad row is quarantined instead)."""

    fault = Fault.CALLER


class ShardChangedError(PairmillError):
    """A shard was rewritten or removed while it was used; nothing of it was mixed up."""

    fault = Fault.CONFLICT

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"{uri}: the shard was rewritten or removed during the run; what was judged of it until"
            " then is kept; run again"
        )
        self._uri = uri

    def __reduce__(self) -> tuple[type[ShardChangedError], tuple[str]]:
        return ShardChangedError, (self._uri,)


class SnapshotOutdatedError(PairmillError):
    """Shards changed since a snapshot was made, so that its labels may be of other rows."""

    fault = Fault.CONFLICT


class StorageError(PairmillError):
    """A URI cannot be read or written; names the URI and the cause, never a credential.

    Attributes:
        fault: CALLER, or TRANSIENT where it may pass.
    """

    def __init__(self, message: str, fault: Fault = Fault.CALLER) -> None:
        super().__init__(message)
        self.fault = fault

    def __reduce__(self) -> tuple[type[StorageError], tuple[str, Fault]]:
        return StorageError, (str(self), self.fault)


class EngineStartError(PairmillError):
    """The judge's engine cannot be started with this configuration."""

    fault = Fault.CALLER


class EndpointError(PairmillError):
    """A judge's server refuses or fails requests whatever they ask; no row is at fault."""

    fault = Fault.TRANSIENT


class EngineDeadError(PairmillError):
    """The engine under a live worker died: the worker must be replaced."""

    fault = Fault.TRANSIENT


class RayLostError(PairmillError):
    """The Ray that a run works on is gone, or ends its workers each time."""

    fault = Fault.TRANSIENT


class ReconcileError(PairmillError):
    """What is stored is not what was read: rows are missing or doubled."""


class QuarantineError(PairmillError):
    """More rows (or whole shards) were quarantined than the configuration allows."""

    fault = Fault.SHARD


class LeaseHeldError(PairmillError):
    """Another run does the same work on this output right now."""

    fault = Fault.CONFLICT


class LeaseLostError(PairmillError):
    """This run stalled for so long that another may have taken its lease: it must stop."""

    fault = Fault.CONFLICT


class StoppedError(PairmillError):
    """Something has asked this command to end; what is committed stays, and it can go on."""

    exit_code = TERMINATED  # as shells have it: 128 and the number of SIGTERM


class BudgetSpentError(StoppedError):
    """The run has spent what it may; what is committed stays, and it can go on."""

    exit_code = 6


class PublishConflictError(PairmillError):
    """Another run published while this one was about to: nothing of this one is visible."""

    fault = Fault.CONFLICT


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
