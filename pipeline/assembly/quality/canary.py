"""Where the canaries of a run are: gold pairs that it judged again, mixed with the corpus."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.config import InputConfig
from pipeline.core.storage import Store

FOLDER = "canaries"


@dataclass(frozen=True)
class Canary:
    """The canaries of one run.

    Attributes:
        run_id: of the run that judged them; their parts lie under :func:`canary_root`.
        input_uri: the gold pairs.
        input: how these are read.
    """

    run_id: str
    input_uri: str
    input: InputConfig = InputConfig()


def canary_root(output: Store, run_id: str) -> Store:
    """What is an output root to the canaries of a run: their parts are laid out as any."""
    return Store(output.path(f"{FOLDER}/{run_id}"))
