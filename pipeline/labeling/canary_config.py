"""Canaries of a run: where their pairs come from, and where their parts go."""

from __future__ import annotations

from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.mapping_config import MappingConfig
from pipeline.store.object_store import Store

CANARIES_FOLDER = "canaries"


def canary_root(output: Store, run_id: str) -> Store:
    """The output root of a run's canaries: their parts are laid out as any."""
    return Store(output.path(f"{CANARIES_FOLDER}/{run_id}"))


class CanaryConfig(MappingConfig):
    """Gold pairs that a nightly run re-judges among its other pairs, if it has any to judge.

    They have a layout or map of their own; that of ``input`` does not apply to them.
    """

    input: str | None = None
    """A folder of shards, or one shard; none means no canaries."""
    media_roots: tuple[str, ...] = ()
    """As ``input.media_roots``, for the canaries."""

    def read_as(self, corpus: InputConfig) -> InputConfig:
        """How canaries are read: with unit sizes as of the corpus."""
        own = {name: getattr(self, name) for name in MappingConfig.model_fields}
        return corpus.model_copy(update={**own, "media_roots": self.media_roots})
