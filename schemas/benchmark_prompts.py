"""Which prompts a benchmark has on which a judge was evaluated, as hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schemas.records import Record

EVALUATIONS = "evaluations"  # folder under the output root
PROMPTS = "prompts.json"  # in the folder of an evaluation


@dataclass(frozen=True)
class BenchmarkPrompts(Record):
    """The prompts of a benchmark.

    Attributes:
        clusters: as labels state them (``labels/v2``).
    """

    remedy = "remove it; pairmill evaluate writes it again"

    version: Literal["benchmark prompts/v1"] = field(default="benchmark prompts/v1", kw_only=True)
    clusters: tuple[str, ...]
