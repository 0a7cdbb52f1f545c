"""The steps after publishing: exports, hooks, and the removal of what is not kept."""

from __future__ import annotations

from pipeline.export.export_run import export_snapshot
from pipeline.export.export_summary import export_fields
from pipeline.nightly.hooks import Hooks, shown_hook
from pipeline.nightly.night_record import NightRecord
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.retention.clean import plan_clean
from pipeline.retention.retain_snapshots import retain
from pipeline.retention.stored import Stored
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.steps import Step
from pipeline.runtime.stop import Stop
from pipeline.snapshots.manifests import live
from pipeline.store.lease import Lease
from pipeline.store.object_store import Store


class FollowUp:
    """The steps of one nightly run after publishing; each skips what earlier runs have done."""

    def __init__(
        self,
        config: PipelineConfig,
        input_uri: str,
        output: Store,
        reporter: Reporter,
        lease: Lease,
        record: NightRecord,
        stop: Stop,
    ) -> None:
        """Binds to a nightly run; steps without work are recorded as skipped."""
        self._stop = stop
        self._config, self._nightly = config, config.nightly
        self._input_uri, self._output = input_uri, output
        self._reporter, self._lease, self._record = reporter, lease, record

    def skip(self) -> None:
        """Records all steps as skipped, since nothing new is live."""
        for name, wanted in (("exports", self._nightly.exports), ("hooks", self._nightly.hooks)):
            if wanted:
                self._record.skip(name, "nothing new is live")

    def run(self, step: Step) -> None:
        """Runs every step that is configured.

        Raises:
            HookError: a hook failed.
            StoppedError: a stop was asked for.
            PairmillError: an export failed, or old snapshots cannot be removed.
        """
        if self._nightly.exports:
            with step("exports") as detail:
                detail["exports"] = self._exports()
        if self._nightly.hooks:
            self._hooks(step)
        if self._nightly.keep is not None or self._nightly.clean:
            with step("retention") as detail:
                detail |= self._remove()

    def _exports(self) -> list[dict[str, object]]:
        done: list[dict[str, object]] = []
        snapshot_id = live(self._output).snapshot_id
        for config in self._nightly.exports:
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
            done.append({"folder": result.record.folder, "new": result.changed})
        return done

    def _remove(self) -> dict[str, object]:
        """Removes what is not kept; returns what the record says about it."""
        if self._nightly.keep is not None:
            done = retain(self._output, self._nightly.keep, self._lease)
            return {"kept": done["kept"], "removed": [*done["removed"], *done["leftovers"]]}
        stored = Stored(self._output, self._lease.run_id, self._input_uri)
        plan = plan_clean(stored, self._config.clean)
        plan.apply(self._lease)
        return {"kinds": plan.summary()}

    def _hooks(self, step: Step) -> None:
        hooks = Hooks(self._nightly, self._output, live(self._output))
        if not (pending := hooks.pending):
            self._record.skip("hooks", "all of them have run for this snapshot")
            return
        with step("hooks") as detail:
            detail["hooks"] = [shown_hook(hook) for hook in pending]
            stop_seconds = self._config.workers.stop_seconds
            hooks.run(self._input_uri, self._lease.run_id, self._reporter, self._stop, stop_seconds)
