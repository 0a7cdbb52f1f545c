"""The section ``clean``: how much of each kind stays."""

from __future__ import annotations

from pydantic import Field

from pipeline.runtime.config_file import Frozen


class Limits(Frozen):
    """How many of a kind stay. Without a limit all do; of two limits each keeps what it keeps."""

    keep: int | None = Field(default=None, ge=1)
    """The newest so many stay."""
    days: float | None = Field(default=None, ge=0)
    """Those stay that are younger, by the time that they state themselves."""


class CleanConfig(Frozen):
    """What ``pairmill clean`` removes; a nightly run does so too with ``nightly.clean``.

    By default only what nobody can use: snapshots, exports and derivations that were never
    finished, and files that no snapshot names. The live snapshot, the one before it, and what they
    need always stay.
    """

    snapshots: Limits = Limits()
    """Published snapshots, and candidates that were refused."""
    exports: Limits = Limits()
    """Exports; ``keep`` counts snapshots that have some, ``days`` the age of the snapshot."""
    derived: Limits = Limits()
    """What ``pairmill derive`` made, by policy."""
    canaries: Limits = Limits()
    """Canaries of earlier runs. The newest of each judge stay: the gate compares with them."""
    probes: Limits = Limits()
    """Probes of judges and gold, which state no time: ``keep`` alone removes some. Those of the
    judge that is live stay.
    """
    runs: Limits = Limits()
    """Records and reports of runs. The newest stay that judged, and the one that published."""
    attempts_days: float | None = Field(default=None, ge=0)
    """Marks of attempts at rows that have labels by now stay for so long; by default for ever."""
    parts_days: float | None = Field(default=None, ge=0)
    """Parts stay for so long if all of their votes are in other parts that stay: earlier revisions,
    and those of shards that the input no longer has in that version. By default for ever.
    """
