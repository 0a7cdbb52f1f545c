"""One configuration for the jobs that work on one output: label, publish, and what follows."""

from __future__ import annotations

from pipeline.assembly.export.config import ExportConfig
from pipeline.assembly.gate.config import GateConfig
from pipeline.assembly.nightly.config import CanaryConfig, NightlyConfig
from pipeline.assembly.nightly.outcome import MetricsConfig
from pipeline.assembly.quality.config import QualityConfig
from pipeline.assembly.report.config import ReportConfig
from pipeline.assembly.snapshots.config import PublishConfig
from pipeline.core.config import LabelConfig


class MillConfig(LabelConfig):
    """A labeling job's configuration, with a section for each later step.

    Every one of these jobs reads the same YAML file and takes from it what concerns it.
    """

    publish: PublishConfig = PublishConfig()
    quality: QualityConfig = QualityConfig()
    gate: GateConfig = GateConfig()
    export: ExportConfig = ExportConfig()
    canary: CanaryConfig = CanaryConfig()
    nightly: NightlyConfig = NightlyConfig()
    metrics: MetricsConfig = MetricsConfig()
    report: ReportConfig = ReportConfig()
