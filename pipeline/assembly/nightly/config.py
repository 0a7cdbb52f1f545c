"""What a night does beside labeling and publishing, and its canaries."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.assembly.export.config import ExportConfig
from pipeline.assembly.lease import TTL_S
from pipeline.core.columns import ColumnMapping
from pipeline.core.config import InputConfig
from pipeline.core.frozen import Frozen

Hook = tuple[str, ...]


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


class NightlyConfig(Frozen):
    """What a night does after it has published, and its lease.

    A hook is a command as a list of words, without a shell::

        nightly:
          hooks:
            - [python3, /etc/pairmill/start_training.py]
            - [sh, -c, 'curl --fail --data "$PAIRMILL_SNAPSHOT" https://ci.example/labels']

    Attributes:
        exports: each as the section ``export`` has it; of every snapshot that is live, once.
        hooks: run in order once ``LATEST.json`` has changed, with ``PAIRMILL_INPUT``,
            ``PAIRMILL_OUTPUT``, ``PAIRMILL_SNAPSHOT`` and ``PAIRMILL_RUN_ID`` in their environment.
            The first that fails ends the night with exit code 1; the snapshot stays live, and the
            next night runs that hook again, and those behind it.
        hook_seconds: a hook that takes longer is killed, and has failed.
        keep: after publishing, remove all but the newest so many snapshots, the live one and the
            one before it; needs the right to delete. By default nothing is ever removed.
        lease_s: a night that has not been heard of for so long is taken for dead.
    """

    exports: tuple[ExportConfig, ...] = ()
    hooks: tuple[Hook, ...] = ()
    hook_seconds: float = Field(default=3_600, gt=0)
    keep: int | None = Field(default=None, ge=1)
    lease_s: float = Field(default=TTL_S, gt=0)

    @model_validator(mode="after")
    def _commands(self) -> Self:
        for hook in self.hooks:
            if not hook or not hook[0]:
                raise ValueError(f"hooks: {list(hook)} is no command; expected a list of words")
            if self.hooks.count(hook) > 1:
                raise ValueError(f"hooks: {list(hook)} is there twice")
        return self
