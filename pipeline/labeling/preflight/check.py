"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True)
class Check:
    """What was checked before a run, and what came of it.

    Attributes:
        name: what was checked.
        state: ``fail`` would stop a run, ``warn`` might, or slows it down.
        found: what was found, in one sentence.
        advice: what to do about it; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    advice: str = ""
