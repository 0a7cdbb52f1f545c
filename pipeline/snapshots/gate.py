"""The gate of publishing: measures a candidate and decides whether it may go live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.gold.people import GoldConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.reporter import Reporter
from pipeline.runtime.stop import Stop
from pipeline.snapshots.gate_checks import GateConfig, check_all
from pipeline.snapshots.manifests import read_latest
from pipeline.snapshots.publish_snapshot import Gate
from pipeline.snapshots.quality.canary_agreement import Canary
from pipeline.snapshots.quality.measure_snapshot import measure
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.quality import Probed


def gate_for(
    config: GateConfig,
    quality: QualityConfig,
    input_config: InputConfig,
    canary: Canary | None = None,
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    gold: GoldConfig | None = None,
    probes: Mapping[str, Probed] | None = None,
) -> Gate:
    """The gate that ``publish`` calls with a candidate.

    It measures the candidate, writes its ``quality.json``, and checks every threshold. Drift is
    against the snapshot that is live then. Without thresholds it still measures, so that the next
    snapshot's drift has something to be measured against, and an earlier gate's decision stands:
    leaving the configuration out does not let a blocked snapshot pass.

    Args:
        config: the thresholds.
        quality: how the candidate is measured.
        input_config: how the corpus is read.
        canary: the canaries that the run judged again, if there are any.
        reporter: receives progress every few seconds.
        stop: checked after every row group; ends the measuring.
        gold: the set of people's answers, beside those in the input.
        probes: of the judge, if a threshold asks for them.
    """

    def gate(output: Store, manifest: Manifest) -> Mapping[str, Any]:
        latest = read_latest(output)
        against = manifest.parent if latest is None else latest.snapshot_id
        measured = measure(
            output,
            manifest,
            quality,
            input_config,
            against=against,
            canary=canary,
            reporter=reporter,
            stop=stop,
            gold=gold or GoldConfig(),
            probes=probes or {},
        )
        if manifest.gate is not None and not config.active:
            return manifest.gate
        checks = check_all(measured, config)
        return {
            "passed": all(check.passed for check in checks),
            "checks": [asdict(check) for check in checks],
            "against": against,
        }

    return gate
