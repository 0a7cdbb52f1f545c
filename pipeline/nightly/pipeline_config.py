"""One configuration for all jobs that work on one output."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from pipeline.aggregation.panel import AggregationConfig
from pipeline.evaluation.probes_config import ProbesConfig
from pipeline.export.export_config import ExportConfig
from pipeline.gold.people import GoldConfig
from pipeline.labeling.canary_config import CanaryConfig
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.run_budget import BudgetConfig, RunBudget
from pipeline.nightly.exit_metrics import MetricsConfig
from pipeline.nightly.nightly_config import NightlyConfig
from pipeline.report.report_config import ReportConfig
from pipeline.retention.clean_config import CleanConfig
from pipeline.runtime.errors import ConfigError
from pipeline.snapshots.gate_checks import GateConfig
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from schemas.probes import PROBE_METRICS


class PipelineConfig(LabelConfig):
    """A labeling job's configuration, with a section for each later step.

    Each job reads the same YAML file, and uses the sections that it needs.
    """

    aggregation: AggregationConfig = AggregationConfig()
    gold: GoldConfig = GoldConfig()
    publish: PublishConfig = PublishConfig()
    quality: QualityConfig = QualityConfig()
    gate: GateConfig = GateConfig()
    export: ExportConfig = ExportConfig()
    canary: CanaryConfig = CanaryConfig()
    probes: ProbesConfig = ProbesConfig()
    nightly: NightlyConfig = NightlyConfig()
    clean: CleanConfig = CleanConfig()
    metrics: MetricsConfig = MetricsConfig()
    report: ReportConfig = ReportConfig()
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.cascade.judges and self.aggregation.panel:
            raise ValueError(
                "cascade and aggregation.panel: labels are decided by one of the two; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _gold_to_probe(self) -> Self:
        if self.gate.asks_probes and self.canary.input is None:
            raise ValueError(
                "gate: probes are made of gold pairs; name some as canary.input, or leave out "
                f"the thresholds of {', '.join(PROBE_METRICS)}"
            )
        return self

    @property
    def exported_from(self) -> float:
        """The least confidence of a label that is exported."""
        selection = self.export.selection
        return max(selection.min_confidence, min(selection.tiers.values(), default=0.0))

    def run_budget(self) -> RunBudget:
        """What one labeling run may spend.

        Raises:
            ConfigError: it is limited in dollars, and nothing has a price.
        """
        limits, tokens = self.budget, self.report.usd_per_million_tokens
        if limits.max_usd is not None and not self.report.priced:
            raise ConfigError(
                f"budget.max_usd {limits.max_usd:g}: nothing has a price: set "
                "report.gpu_usd_per_hour, and report.gpus to the number of GPUs, or "
                "report.usd_per_million_tokens"
            )
        of_tokens = tokens.usd if tokens else None
        hour = self.report.usd_per_hour
        return RunBudget(limits.max_judgments, limits.max_usd, hour, of_tokens)
