"""Controls: gold pairs changed so that a judge that uses its input must change its answers.

* ``blank-image``: every picture is white. A judge that looks at them falls to chance.
* ``shuffled-image``: every row has another row's pictures. The same.
* ``irrelevant-image``: every picture shows coloured shapes. The same.
* ``swap-text``: the two candidates are swapped. Labels must follow the content.

Pictures are those of the question; of candidates too where these are pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import pyarrow as pa

from pipeline.evaluation.altered_pictures import AlteredPictures
from pipeline.gold.gold_rows import GoldRow, gold_rows, windows
from pipeline.judging.judge_config import JudgeConfig
from pipeline.media.media_store import MediaStore
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shard_writer import ShardConfig, ShardWriter
from pipeline.pairs.shards import open_input
from pipeline.runtime.errors import ConfigError, InputError
from pipeline.store.object_store import Store
from schemas.pairs import PAIRS_V2

Control = Literal["blank-image", "shuffled-image", "irrelevant-image", "swap-text"]
PictureControl = Literal["blank-image", "shuffled-image", "irrelevant-image"]
CONTROLS: tuple[Control, ...] = get_args(Control)
PICTURE_CONTROLS: tuple[PictureControl, ...] = get_args(PictureControl)
_SWAPPED = {"a": "b", "b": "a"}
Change = Callable[[Sequence[GoldRow]], Iterator[GoldRow]]


@dataclass
class ControlPairs:
    """The changed pairs of one control.

    Attributes:
        places: shard and row number of the pair that each changed pair was made of, in order.
        left_out: pairs that the control cannot change, by reason.
    """

    control: Control
    uri: str
    places: list[tuple[str, int]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def check_control(control: str, judge: JudgeConfig) -> Control:
    """The control of that name.

    Raises:
        ConfigError: no control has it, or it does not apply to such a judge.
    """
    known = {name: name for name in CONTROLS}
    if control not in known:
        raise ConfigError(f"control {control!r} is not known; known are {', '.join(CONTROLS)}")
    if control == "swap-text" and judge.declared_format.about == "score":
        raise ConfigError("control swap-text: a single score is about one candidate, not two")
    return known[control]


def write_control(
    control: Control, input_uri: str, config: InputConfig, judge: JudgeConfig, output: str
) -> ControlPairs:
    """Writes the changed pairs as shards; the same input gives the same shards.

    Args:
        control: what is changed.
        input_uri: gold pairs.
        config: how they are read.
        judge: which gold its format needs, and the limits of its pictures.
        output: folder of the shards.

    Raises:
        InputError: the control can change none of the pairs.
        StorageError: the store fails.
    """
    store = MediaStore((*config.media_roots, open_input(input_uri)[0].uri), judge.media.max_bytes)
    pictures = AlteredPictures(store, judge)
    made = ControlPairs(control, output, left_out=pictures.left_out)
    change = swapped if control == "swap-text" else picture_change(control, pictures)
    with ShardWriter(Store(output), control, ShardConfig()) as writer:
        for window in windows(gold_rows(input_uri, config, judge.declared_format.about)):
            rows = list(change(window))
            made.places += [row.place for row in rows]
            writer.add(pa.Table.from_pylist([row.pair for row in rows], schema=PAIRS_V2))
    if not made.places:
        why = ", ".join(f"{count} {reason}" for reason, count in made.left_out.items())
        raise InputError(f"control {control}: none of the gold pairs of {input_uri} fits ({why})")
    return made


def picture_change(control: PictureControl, pictures: AlteredPictures) -> Change:
    """What a control does to the pictures of rows."""
    changes: dict[PictureControl, Change] = {
        "blank-image": pictures.blanked,
        "shuffled-image": pictures.shuffled,
        "irrelevant-image": pictures.irrelevant,
    }
    return changes[control]


def swapped(rows: Sequence[GoldRow]) -> Iterator[GoldRow]:
    """The rows with their candidates in reverse; gold goes with them."""
    for row in rows:
        pair = dict(row.pair)
        pair["gold"] = _SWAPPED.get(pair["gold"], pair["gold"])
        for name in ("candidates", "gold_scores"):
            pair[name] = pair[name][::-1] if pair[name] else pair[name]
        yield GoldRow(row.place, pair)
