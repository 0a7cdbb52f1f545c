"""All formats by name, and which of them can hold what."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.export.jsonl import Jsonl
from pipeline.export.llama_factory import LlamaFactory
from pipeline.export.ms_swift import MsSwift
from pipeline.export.nemo_rl import NemoRl
from pipeline.export.openrlhf import OpenRlhf
from pipeline.export.pointwise import Pointwise
from pipeline.export.trainer_format import TrainerFormat
from pipeline.export.trl import TrlDpo, TrlReward
from pipeline.export.verl import VerlRl

_ALL: tuple[TrainerFormat, ...] = (
    *(TrlDpo(), TrlReward(), LlamaFactory(), MsSwift(), OpenRlhf(), NemoRl(), VerlRl()),
    *(Jsonl(), Pointwise()),
)
TRAINER_FORMATS: dict[str, TrainerFormat] = {each.name: each for each in _ALL}


def able(can: Callable[[TrainerFormat], bool]) -> str:
    """The formats that can do something, for a message."""
    return ", ".join(each.name for each in _ALL if can(each)) or "none"
