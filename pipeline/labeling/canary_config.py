"""Canaries of a run: where their pairs come from, and where their parts go."""

from __future__ import annotations

from pipeline.pairs.columns import ColumnMapping
from pipeline.pairs.input_config import InputConfig
from pipeline.runtime.config_file import Frozen
from pipeline.store.object_store import Store

CANARIES_FOLDER = "canaries"


def canary_root(output: Store, run_id: str) -> Store:
    """What is an output root to the canaries of a run: their parts are laid out as any."""
    return Store(output.path(f"{CANARIES_FOLDER}/{run_id}"))


class CanaryConfig(Frozen):
    """Gold pairs that every night which judges at all judges anew, among its other pairs.

    Attributes:
        input: a folder of shards, or one shard; none means no canaries.
        columns: where foreign columns hold what pairs v1 asks for; by itself, and not as
            ``input.columns`` has it.
        media_roots: as ``input.media_roots``, of the canaries.
    """

    input: str | None = None
    columns: ColumnMapping = ColumnMapping()
    media_roots: tuple[str, ...] = ()

    def read_as(self, corpus: InputConfig) -> InputConfig:
        """How canaries are read: cut as the corpus is."""
        return corpus.model_copy(update={"columns": self.columns, "media_roots": self.media_roots})
