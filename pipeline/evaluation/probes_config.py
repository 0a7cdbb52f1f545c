"""The section ``probes``: how a judge is tested by altered gold pairs."""

from __future__ import annotations

from pydantic import Field, field_validator

from pipeline.runtime.config_file import Frozen
from schemas.probes import ATTACKS, MASTER_KEY


class ProbesConfig(Frozen):
    """How a judge is probed: ``pairmill evaluate --probes``, and the gate's metrics of probes.

    Every pair is judged as it is, with seven attacks and their placebos, and with three changes of
    its pictures: 18 times the votes of a pair, once for each judge and version of gold.
    """

    pairs: int = Field(default=300, ge=20)
    """How many gold pairs with a better answer are altered, each of another prompt (or picture).
    Of 60 pairs an attack that turns one in ten is shown in a quarter of all cases, of 200 in two
    thirds.
    """
    held_out: tuple[str, ...] = ("authority",)
    """Attacks that no metric of the gate counts. They are judged and shown: a judge that was
    changed until it passes should withstand these, too.
    """

    @field_validator("held_out")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        possible = [name for name in ATTACKS if name != MASTER_KEY]
        if unknown := sorted(set(names) - set(possible)):
            raise ValueError(f"held_out {unknown}: expected some of {', '.join(possible)}")
        return names
