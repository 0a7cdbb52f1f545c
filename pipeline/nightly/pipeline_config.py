"""One configuration for all jobs that work on one output."""

from __future__ import annotations

from pipeline.export.export_config import ExportConfig
from pipeline.labeling.canary_config import CanaryConfig
from pipeline.labeling.label_config import LabelConfig
from pipeline.nightly.exit_metrics import MetricsConfig
from pipeline.nightly.nightly_config import NightlyConfig
from pipeline.report.report_config import ReportConfig
from pipeline.retention.clean_config import CleanConfig
from pipeline.snapshots.gate_checks import GateConfig
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.quality.snapshot_counts import QualityConfig


class PipelineConfig(LabelConfig):
    """A labeling job's configuration, with a section for each later step.

    Each job reads the same YAML file, and uses the sections that it needs.
    """

    publish: PublishConfig = PublishConfig()
    quality: QualityConfig = QualityConfig()
    gate: GateConfig = GateConfig()
    export: ExportConfig = ExportConfig()
    canary: CanaryConfig = CanaryConfig()
    nightly: NightlyConfig = NightlyConfig()
    clean: CleanConfig = CleanConfig()
    metrics: MetricsConfig = MetricsConfig()
    report: ReportConfig = ReportConfig()
