"""One night: lease → plan → label → reconcile → compact → gate → publish → hooks → report.

Each step finds for itself what is done already, so that a night which was ended anywhere is
finished by running the same command again: labeling goes by the parts that exist, publishing by
the snapshot's identity, hooks by what they have left behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.assembly.export import export_snapshot
from pipeline.assembly.export.present import export_fields
from pipeline.assembly.gate.gate import gate_for
from pipeline.assembly.gate.present import gate_summary
from pipeline.assembly.job_config import MillConfig
from pipeline.assembly.lease import Lease, take_lease
from pipeline.assembly.nightly.hooks import Hooks
from pipeline.assembly.nightly.record import NightRecord, NightState
from pipeline.assembly.plan import open_input
from pipeline.assembly.progress import Reporter
from pipeline.assembly.quality.canary import Canary
from pipeline.assembly.run import RunResult, label
from pipeline.assembly.snapshots.manifests import live
from pipeline.assembly.snapshots.publish import Publication, publish
from pipeline.assembly.snapshots.retention import retain
from pipeline.assembly.snapshots.summary import publication_fields
from pipeline.assembly.stop import Stop
from pipeline.core.errors import LeaseLostError, PairmillError, StoppedError, StorageError
from pipeline.core.run_ids import new_run_id
from pipeline.core.storage import Store
from schemas.labels import Reason

LEASE = "nightly"
BLOCKED = 3
_BUG = 1


def run_night(
    config: MillConfig,
    input_uri: str,
    output_uri: str,
    reporter: Reporter,
    *,
    retries: frozenset[Reason] = frozenset(),
    stop: Stop | None = None,
) -> int:
    """Brings the labels and the snapshot of an output up to its input.

    Args:
        config: of all steps.
        input_uri: a folder of shards, or one shard.
        output_uri: where everything goes.
        reporter: told what is done.
        retries: rows that are quarantined for one of these reasons are judged again.
        stop: asked between steps, and while pairs are judged, whether to end.

    Returns:
        The exit code: 0, or 3 where the gate refused the snapshot.

    Raises:
        LeaseHeldError: another night works on this output; nothing is recorded.
        PairmillError: a step failed, which the record and the report say too.
    """
    output, run_id = Store(output_uri), new_run_id()
    reporter = reporter.of_run(run_id)
    ttl_s = config.nightly.lease_s
    stop = stop or Stop()
    with take_lease(
        output, LEASE, run_id, ttl_s=ttl_s, waiting=reporter.note, on_lost=stop.ask
    ) as lease:
        record = NightRecord(output, run_id, open_input(input_uri)[0].uri)
        night = _Night(config, input_uri, output, reporter, run_id, record, lease, stop)
        return night.run(retries)


class _Night:
    """A night that has the lease."""

    def __init__(
        self,
        config: MillConfig,
        input_uri: str,
        output: Store,
        reporter: Reporter,
        run_id: str,
        record: NightRecord,
        lease: Lease,
        stop: Stop,
    ) -> None:
        self._config, self._input_uri, self._output = config, input_uri, output
        self._reporter, self._run_id = reporter, run_id
        self._record, self._lease, self._stop = record, lease, stop

    def run(self, retries: frozenset[Reason]) -> int:
        """All steps; however they end, the record says it, and so does the report."""
        with self._ends(), self._lease_first():
            done = self._publish(self._label(retries))
            self._after(done)
        exit_code = 0 if done.live or not done.manifest.blocked else BLOCKED
        self._record.end(_state(done), exit_code)
        self._reporter.event("night", self._record.summary())
        return exit_code

    @contextmanager
    def _ends(self) -> Iterator[None]:
        """Records what ends the night before its time."""
        try:
            yield
        except BaseException as error:
            exit_code = error.exit_code if isinstance(error, PairmillError) else _BUG
            stopped = isinstance(error, LeaseLostError | StoppedError | KeyboardInterrupt)
            with suppress(StorageError):  # what ended it is what must be told
                self._record.end("stopped" if stopped else "failed", exit_code)
            raise

    @contextmanager
    def _lease_first(self) -> Iterator[None]:
        """Whoever loses the lease is asked to stop: says why."""
        try:
            yield
        except StoppedError:
            self._lease.check()
            raise

    def _label(self, retries: frozenset[Reason]) -> RunResult:
        return label(
            self._config,
            self._input_uri,
            self._output.uri,
            self._reporter,
            dry_run=False,
            retries=retries,
            run_id=self._run_id,
            canary=self._config.canary,
            step=self._step,
            stop=self._stop,
        )

    def _publish(self, labeled: RunResult) -> Publication:
        config, canary = self._config, None
        if config.canary.input is not None:
            # Of a night that judged nothing, the last that did answers.
            run_id = self._run_id if labeled.canaries.pairs else None
            canary = Canary(run_id, config.canary.input, config.canary.read_as(config.input))
        done = publish(
            self._input_uri,
            self._output,
            labeled.judge_id,
            config.publish,
            self._reporter,
            self._run_id,
            max_bad_shards=config.quarantine.max_shards,
            gate=gate_for(config.gate, config.quality, config.input, canary, self._reporter),
            keep_withdrawn=True,
            step=self._step,
        )
        self._record.snapshot_id = done.manifest.snapshot_id
        self._reporter.event(
            "published" if done.live else "not published", publication_fields(done, self._output)
        )
        if why := _why_not_published(done):
            self._record.skip_unreached(("gate", "publish"), why)
        if summary := gate_summary(done.manifest):
            if done.manifest.blocked:
                sys.stderr.write(f"{summary}\n")
            elif done.changed:
                self._reporter.note(summary)
        return done

    def _after(self, done: Publication) -> None:
        nightly = self._config.nightly
        if not done.live:
            for name, wanted in (("exports", nightly.exports), ("hooks", nightly.hooks)):
                if wanted:
                    self._record.skip(name, "nothing new is live")
            return
        self._exports(done.manifest.snapshot_id)
        self._hooks()
        if (keep := nightly.keep) is not None:
            with self._step("retention") as told:
                publish_config = self._config.publish
                kept = retain(self._output, keep, publish_config, self._reporter, self._run_id)
                told |= {"kept": kept.kept, "removed": [*kept.removed, *kept.leftovers]}

    def _exports(self, snapshot_id: str) -> None:
        if not self._config.nightly.exports:
            return
        with self._step("exports") as told:
            told["exports"] = []
            for config in self._config.nightly.exports:
                result = export_snapshot(
                    self._output,
                    self._input_uri,
                    snapshot_id,
                    config,
                    self._reporter,
                    columns=self._config.input,
                    workers=self._config.workers,
                )
                self._reporter.event("exported", export_fields(result, self._output))
                told["exports"].append({"folder": result.record.folder, "new": result.changed})

    def _hooks(self) -> None:
        if not self._config.nightly.hooks:
            return
        hooks = Hooks(self._config.nightly, self._output, live(self._output))
        if not (pending := hooks.pending):
            self._record.skip("hooks", "all of them have run for this snapshot")
            return
        with self._step("hooks") as told:
            told["hooks"] = [list(hook) for hook in pending]
            hooks.run(self._input_uri, self._run_id, self._reporter)

    @contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        """A step of the record, before which the night ends if it must."""
        self._lease.check()
        self._stop.check(f"{name} was the next step")
        with self._record.step(name) as told:
            yield told


def _why_not_published(done: Publication) -> str | None:
    if done.changed:
        return None
    if done.live:
        return "this snapshot is live already"
    if done.manifest.blocked:
        return "the gate has refused the snapshot"
    return (
        "somebody has rolled back from this snapshot: it stays so until its labels or its input "
        "change; jobs.publish publishes it all the same"
    )


def _state(done: Publication) -> NightState:
    if done.changed:
        return "published"
    if done.live:
        return "unchanged"
    return "blocked" if done.manifest.blocked else "withdrawn"
