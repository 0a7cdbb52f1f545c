"""Which judges decide a night's labels together, if several do."""

from __future__ import annotations

from pipeline.aggregation.composition import Composition
from pipeline.aggregation.panel_fit import panel_of
from pipeline.labeling.cascade.cascade_labels import cascade_of
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.store.object_store import Store


def judges_together(config: PipelineConfig, output: Store) -> Composition | None:
    """The panel or the cascade that is configured; None where labels are of one judge.

    Args:
        config: has at most one of the two.
        output: the output root, of which the caller holds the lease.

    Raises:
        PairmillError: what is configured cannot decide labels; see ``panel_of`` and ``cascade_of``.
    """
    if config.cascade.judges:
        return cascade_of(config, output)
    return panel_of(output, config.aggregation, config.policy, config.gold)
