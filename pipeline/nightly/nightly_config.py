"""The section ``nightly``: what follows publishing."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.export.export_config import ExportConfig
from pipeline.runtime.config_file import Frozen

Hook = tuple[str, ...]


class NightlyConfig(Frozen):
    """What a nightly run does after publishing.

    A hook is a command as a list of words, run without a shell::

        nightly:
          hooks:
            - [python3, /etc/pairmill/start_training.py]
            - [sh, -c, 'curl --fail --data "$PAIRMILL_SNAPSHOT" https://ci.example/labels']
    """

    exports: tuple[ExportConfig, ...] = ()
    """Each as the section ``export`` has it; of every snapshot that is live, once."""
    hooks: tuple[Hook, ...] = ()
    """Run in order once ``LATEST.json`` has changed, with ``PAIRMILL_INPUT``,
    ``PAIRMILL_OUTPUT``, ``PAIRMILL_SNAPSHOT`` and ``PAIRMILL_RUN_ID`` in their environment.
    The first that fails ends the run with exit code 1; the snapshot stays live, and the next
    run runs that hook again, and those after it.
    """
    hook_seconds: float = Field(default=3_600, gt=0)
    """A hook that takes longer is killed and counts as failed."""
    keep: int | None = Field(default=None, ge=1)
    """After publishing, remove all but the newest so many snapshots, the live one and the one
    before it; needs the right to delete. As ``clean.snapshots.keep`` with nothing else.
    """
    clean: bool = False
    """After publishing, remove what ``pairmill clean --apply`` would; needs the right to delete.
    Without it and ``keep`` a nightly run removes nothing.
    """
    lease_s: float | None = Field(default=None, gt=0)
    """As ``lease_s`` above all sections, for the nightly run alone."""

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.clean and self.keep is not None:
            raise ValueError("keep and clean: with clean give the limit as clean.snapshots.keep")
        return self

    @model_validator(mode="after")
    def _commands(self) -> Self:
        for hook in self.hooks:
            if not hook or not hook[0]:
                raise ValueError(f"hooks: {list(hook)} is no command; expected a list of words")
            if self.hooks.count(hook) > 1:
                raise ValueError(f"hooks: {list(hook)} is there twice")
        return self
