"""Writes the report of a run beside its record."""

from __future__ import annotations

from pipeline.pairs.input_config import InputConfig
from pipeline.report.gallery_source import draw_sample
from pipeline.report.metrics_json import make_metrics, metrics_json
from pipeline.report.report_config import ReportConfig
from pipeline.report.run_outcome import state_of
from pipeline.report.run_records import read_records
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store

_INPUT = InputConfig()


def write_report(
    output: Store,
    input_uri: str | None,
    run_id: str,
    snapshot_id: str | None,
    config: ReportConfig,
    reporter: Reporter,
    *,
    columns: InputConfig = _INPUT,
) -> None:
    """Writes ``runs/<run_id>/metrics.json``, then ``report.html``, in place of earlier ones.

    Args:
        output: the output root.
        input_uri: the pairs that the run was about; None for those that its records name.
        run_id: the run.
        snapshot_id: the snapshot that it made or found; None to find it by the run's records.
        config: how it is reported.
        reporter: receives where the report is.
        columns: how the input is read, for the sample of pairs.

    Raises:
        InputError: there is no record of the run, or what it left cannot be read.
        StorageError: the output fails.
    """
    records = read_records(output, input_uri, run_id, snapshot_id, config.trend_runs)
    state = state_of(records)
    metrics = make_metrics(records, state, config)
    output.put(f"runs/{run_id}/metrics.json", metrics_json(metrics))
    sample = draw_sample(records, columns, config.gallery)
    from pipeline.report.report_page import render  # matplotlib takes a second to load

    page = render(records, state, metrics, sample, config).encode()
    key = f"runs/{run_id}/report.html"
    output.put(key, page)
    shown = {"state": state.name, "pairs_shown": len(sample.specimens), "bytes": len(page)}
    reporter.event("report", {"report": output.path(key), **shown})
