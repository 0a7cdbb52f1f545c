"""One nightly run: lease → plan → label → reconcile → compact → gate → publish → exports → hooks →
retention → report.

Each step finds what is done already, so that the same command finishes a run that was ended
anywhere: labeling goes by the parts that exist, publishing by the snapshot's identity, hooks by
their record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pipeline.labeling.cascade.cascade_run import label_tiers
from pipeline.labeling.label_run import RunResult
from pipeline.labeling.run_request import RunRequest
from pipeline.nightly.follow_up import FollowUp
from pipeline.nightly.gate_probes import gate_probes
from pipeline.nightly.judges_together import judges_together
from pipeline.nightly.night_record import NightRecord, NightState
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.pairs.shards import open_input
from pipeline.report.write_report import write_report
from pipeline.runtime.errors import (
    BLOCKED,
    BudgetSpentError,
    LeaseLostError,
    PairmillError,
    StoppedError,
    StorageError,
)
from pipeline.runtime.faults import exit_code_of
from pipeline.runtime.printable import printable
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import new_run_id
from pipeline.runtime.stop import Stop
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import gate_summary
from pipeline.snapshots.live_shards import live_shards
from pipeline.snapshots.publish_snapshot import Publication, publish
from pipeline.snapshots.quality.canary_agreement import Canary
from pipeline.snapshots.snapshot_summary import publication_fields
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.labels import Reason
from schemas.probes import probe_rates
from schemas.quality import Probed

# Writes the report of a run that has ended, also of one that failed; receives its output, its run
# id, and the snapshot that it made or found, or None if it ended before.
Report = Callable[[Store, str, str | None], None]


def run_night(
    config: PipelineConfig,
    input_uri: str,
    output_uri: str,
    reporter: Reporter,
    *,
    retries: frozenset[Reason] = frozenset(),
    rerender: frozenset[str] = frozenset(),
    stop: Stop | None = None,
    report: Report | None = None,
) -> int:
    """Brings the labels and the snapshot of an output up to its input.

    Args:
        config: of all steps.
        input_uri: a folder of shards, or one shard.
        output_uri: where everything goes.
        reporter: receives what is done.
        retries: rows that are quarantined for one of these reasons are re-judged.
        rerender: narrow kinds; rows that earlier versions judged are re-judged if they have one.
        stop: checked between steps, and while pairs are judged.
        report: called at the end, also where a step failed; not after a stop by a signal.

    Returns:
        The exit code: 0, or 3 where the gate refused the snapshot.

    Raises:
        LeaseHeldError: another run writes to this output; nothing is recorded.
        PairmillError: a step failed; record and report have it, too.
    """
    config.run_budget()  # an error of it before anything is stored
    output, run_id = Store(output_uri), new_run_id()
    reporter = reporter.of_run(run_id)
    ttl_s = config.nightly.lease_s or config.lease_s
    stop = stop or Stop()
    with writer_lease(output, run_id, ttl_s, reporter, stop) as lease:
        record = NightRecord(output, run_id, open_input(input_uri)[0].uri)
        night = _Night(config, input_uri, output, reporter, run_id, record, lease, stop, report)
        return night.run(retries, rerender)


@dataclass
class _Night:
    """A nightly run that holds the lease."""

    config: PipelineConfig
    input_uri: str
    output: Store
    reporter: Reporter
    run_id: str
    record: NightRecord
    lease: Lease
    stop: Stop
    report: Report | None
    reported: bool = False

    def run(self, retries: frozenset[Reason], rerender: frozenset[str]) -> int:
        """Runs all steps; record and report have how they end, also where one raises."""
        with self._ends():
            labeled = self._label(retries, rerender)[-1]
            done = self._publish(labeled, self._probe(labeled))
            self._follow_up(done)
        exit_code = 0 if done.live or not done.manifest.blocked else BLOCKED
        self._end(_state(done), exit_code)
        return exit_code

    def _end(self, state: NightState, exit_code: int) -> None:
        """Records how the run ended, and writes the report.

        Where the report alone fails, the state stays: it is that of labels and snapshot. The exit
        code is then the error's, unless the run has one of its own.
        """
        self.record.end(state, exit_code)
        try:
            self._write_report()
        except PairmillError as error:
            if exit_code:
                self.reporter.note(f"the report failed: {error}")
                return
            self.record.end(state, error.exit_code)
            raise
        finally:
            self.reporter.event("night", self.record.summary())

    @contextmanager
    def _ends(self) -> Iterator[None]:
        """Records an error that ends the run."""
        try:
            yield
        except BaseException as error:
            stopped = isinstance(error, LeaseLostError | StoppedError | KeyboardInterrupt)
            with suppress(StorageError):  # the error that ended it matters more
                self.record.end("stopped" if stopped else "failed", exit_code_of(error))
            if not stopped or isinstance(error, BudgetSpentError):  # no signal: there is time
                with suppress(PairmillError):
                    self._write_report()
            self.reporter.event("night", self.record.summary())
            raise

    def _write_report(self) -> None:
        """Writes the report, once; the record has why it failed."""
        if self.report is None or self.reported:
            return
        self.reported = True
        with self.record.step("report"):
            self.report(self.output, self.run_id, self.record.snapshot_id)

    def _label(self, retries: frozenset[Reason], rerender: frozenset[str]) -> list[RunResult]:
        request = RunRequest(
            retries=retries,
            rerender=rerender,
            run_id=self.run_id,
            canary=self.config.canary,
            read_published=live_shards,
            step=self._step,
            stop=self.stop,
            budget=self.config.run_budget(),
        )
        where = (self.input_uri, self.output.uri, self.reporter)
        explained_from = self.config.exported_from
        return label_tiers(
            self.config, *where, request, lease=self.lease, explained_from=explained_from
        )

    def _probe(self, labeled: RunResult) -> Mapping[str, Probed]:
        """What the judge does with altered pairs, if the gate asks for it; judged once."""
        probes = gate_probes(self.config, self.output, labeled.judge_id)
        if probes is None:
            return {}
        with self._step("probes") as detail:
            detail["reused"] = (found := probes.stored()) is not None
            found = found or probes.judged(self.reporter, self.stop, self.config.run_budget())
            rates = {name: rate.value for name, rate in probe_rates(found.probes).items()}
            detail |= {"probes": found.identity, "pairs": found.pairs, **rates}
        return found.probes

    def _publish(self, labeled: RunResult, probes: Mapping[str, Probed]) -> Publication:
        config, canary = self.config, None
        if config.canary.input is not None:
            # A run that judged nothing is measured by the canaries of the last one that did.
            run_id = self.run_id if labeled.canaries.pairs else None
            canary = Canary(run_id, config.canary.input, config.canary.read_as(config.input))
        done = publish(
            self.input_uri,
            self.output,
            labeled.judge_id,
            config.publish,
            self.reporter,
            self.lease,
            policy=config.policy,
            votes=config.judge.votes,
            max_bad_shards=config.quarantine.max_shards,
            read_seconds=config.input.read_seconds,
            gate=gate_for(
                config.gate,
                config.quality,
                config.input,
                canary,
                self.reporter,
                self.stop,
                config.gold,
                probes,
            ),
            keep_withdrawn=True,
            shards=labeled.shards,
            step=self._step,
            stop=self.stop,
            gold=config.gold,
            composition=judges_together(config, self.output),
        )
        self.reporter.event(
            "published" if done.live else "not published", publication_fields(done, self.output)
        )
        if why := _why_not_published(done):
            self.record.skip_unreached(("gate", "publish"), why)
        if summary := gate_summary(done.manifest):
            if done.manifest.blocked:
                sys.stderr.write(printable(f"{summary}\n"))
            elif done.changed:
                self.reporter.note(summary)
        return done

    def _follow_up(self, done: Publication) -> None:
        of_night = (self.config, self.input_uri, self.output, self.reporter, self.lease)
        follow_up = FollowUp(*of_night, self.record, self.stop)
        if done.live:
            follow_up.run(self._step)
        else:
            follow_up.skip()

    @contextmanager
    def _step(self, name: str) -> Iterator[dict[str, Any]]:
        """A recorded step; the run ends before it if the lease is lost or a stop was asked for."""
        self.stop.check(f"{name} was the next step")
        with self.record.step(name) as detail:
            yield detail


def _why_not_published(done: Publication) -> str | None:
    if done.changed:
        return None
    if done.live:
        return "this snapshot is live already"
    if done.manifest.blocked:
        return "the gate has refused the snapshot"
    return (
        "readers were rolled back from this snapshot: it stays withdrawn until its labels or its "
        "input change; pairmill publish publishes it nevertheless"
    )


def _state(done: Publication) -> NightState:
    if done.changed:
        return "published"
    if done.live:
        return "unchanged"
    return "blocked" if done.manifest.blocked else "withdrawn"


def night_report(config: PipelineConfig, input_uri: str, reporter: Reporter) -> Report:
    """The report that :func:`run_night` writes at its end.

    Args:
        config: of the nightly run.
        input_uri: its pairs.
        reporter: receives where the report is.
    """

    def report(output: Store, run_id: str, snapshot_id: str | None) -> None:
        detail, columns = reporter.of_run(run_id), config.input
        write_report(output, input_uri, run_id, snapshot_id, config.report, detail, columns=columns)

    return report
