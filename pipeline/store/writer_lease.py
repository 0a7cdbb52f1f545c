"""The lease of an output: whatever writes there holds it, so that only one run writes at a time.

The outermost command takes it once, and hands it down to everything that it calls.
"""

from __future__ import annotations

from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.store.lease import Lease, check_epoch, is_free, take_lease
from pipeline.store.object_store import Store

_NAME = "writer"
# What versions before this lease took in its place. Of those that run still, the one that takes no
# lease (label) is not seen.
_OLDER = ("nightly", "publish")


def writer_lease(
    output: Store, run_id: str, ttl_s: float, reporter: Reporter, stop: Stop | None = None
) -> Lease:
    """Takes the lease of an output; a context manager that releases it.

    Args:
        output: what is written to.
        run_id: of the run that writes.
        ttl_s: seconds until a run that does not renew it has lost it.
        reporter: receives what this waits for, if it waits.
        stop: ends the work if the lease is lost; looked at while this waits.

    Raises:
        LeaseHeldError: another run writes to the output; names it.
        StoppedError: a stop was asked for while this waited.
        StorageError: the store fails.
    """
    stop = stop or Stop()

    def take(name: str) -> Lease:
        return take_lease(
            output,
            name,
            run_id,
            ttl_s=ttl_s,
            waiting=reporter.note,
            while_waiting=lambda: stop.check("another run's lease was being watched"),
        )

    for name in _OLDER:
        if not is_free(output, name):
            take(name).release()
    lease = take(_NAME)
    stop.end_on(lambda: lease.loss)
    return lease


def check_writer(output: Store, epoch: int) -> None:
    """Checks that no other run has taken the lease of an output since ``epoch``.

    Raises:
        LeaseLostError: one has.
        StorageError: the store fails.
    """
    check_epoch(output, _NAME, epoch)
