"""Evaluates a tiny judge on held-out scenes as the product runs it, with controls it must fail.

A judge that really looks is at chance when the picture is white or another pair's.
"""

import asyncio
import io
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from PIL import Image

from pipeline.core.config import LabelConfig
from pipeline.core.parsing import parse_scores
from pipeline.tiny_judge.pairs import Order, ScenePair, pair_row, reference_reply, sample_pair
from pipeline.tiny_judge.scenes import Size, encode, render
from pipeline.workers.engine_start import start_engine
from pipeline.workers.judge import Judge
from pipeline.workers.media import MediaStore
from schemas.labels import VERDICT
from schemas.pairs import PAIRS

Control: TypeAlias = Literal["true", "blank", "shuffled"]
Report: TypeAlias = dict[str, Any]

ORDERS: Final[tuple[Order, Order]] = ("ab", "ba")
_SIZES: Final[tuple[tuple[str, tuple[Size, ...]], ...]] = (
    ("square, small", ((96, 96), (112, 112), (150, 150), (224, 224))),
    ("square, large", ((336, 336), (640, 640), (1000, 1000))),
    ("4:3", ((160, 120), (320, 240), (640, 480), (1200, 900))),
    ("3:4", ((120, 160), (240, 320), (480, 640), (900, 1200))),
    ("3:2", ((180, 120), (300, 200), (600, 400), (1200, 800))),
    ("2:3", ((120, 180), (200, 300), (400, 600), (800, 1200))),
    ("16:9", ((192, 108), (320, 180), (640, 360), (1200, 675))),
    ("9:16", ((108, 192), (180, 320), (360, 640), (675, 1200))),
    ("2:1", ((200, 100), (400, 200), (1000, 500))),
    ("1:2", ((100, 200), (200, 400), (500, 1000))),
)


@dataclass(frozen=True)
class Case:
    """A held-out pair with its encoded picture."""

    pair: ScenePair
    picture: bytes
    shape: str


@dataclass(frozen=True)
class Judged:
    """A case and its row of labels v1."""

    case: Case
    label: dict[str, Any]

    @property
    def called(self) -> str:
        """``"a"`` or ``"b"``, or ``"tie"`` for everything that is no preference."""
        return self.label["preference"] or "tie"

    @property
    def right(self) -> bool:
        """Whether the label is what is true of the scene."""
        return self.called == self.case.pair.gold

    @property
    def exact(self) -> bool:
        """Whether the rationale of each order is the reference's, word for word."""
        given = {vote["order"]: vote["rationale"] for vote in self.label["votes"]}
        wanted = {o: parse_scores(reference_reply(self.case.pair, o), None) for o in ORDERS}
        return all(given.get(order) == wanted[order].rationale for order in ORDERS)


def held_out_cases(count: int, seed: int) -> list[Case]:
    """Draws held-out pairs with pictures of many sizes and aspects, a third of them as JPEG."""
    rng = random.Random(f"evaluation/{seed}")
    cases = []
    for index in range(count):
        pair = sample_pair(rng, held_out=True)
        shape, sizes = _SIZES[index % len(_SIZES)]
        picture = render(pair.scene, rng, rng.choice(sizes))
        if rng.random() < 1 / 3:
            data = encode(picture, "JPEG", rng.randint(70, 95))
        else:
            data = encode(picture, "PNG")
        cases.append(Case(pair, data, shape))
    return cases


def evaluate(config: LabelConfig, pairs: int, seed: int) -> Report:
    """Judges held-out pairs with true, blank and shuffled pictures.

    Args:
        config: judge and engine; greedy sampling makes the figures repeatable.
        pairs: number of pairs for each control.
        seed: seed of the cases.

    Returns:
        Figures by control; those of true pictures also by question, shape and grades.
    """
    cases = held_out_cases(pairs, seed)
    engine = start_engine(config.judge, config.engine)
    media = MediaStore([str(Path.cwd())], config.judge.media.max_bytes)
    judge = Judge(engine, config.judge, config.engine, media)
    report: Report = {"pairs": pairs, "seed": seed}
    try:
        judged = asyncio.run(_judge_all(judge, cases, report))
    finally:
        engine.close()
    for control, results in judged.items():
        report[control] = summarise(results)
    true = judged["true"]
    report["by question"] = _grouped(true, lambda j: j.case.pair.kind)
    report["by shape"] = _grouped(true, lambda j: j.case.shape)
    report["by grades"] = _grouped(true, lambda j: "/".join(sorted(j.case.pair.grades)))
    report["failures"] = [_failure(j) for j in true if not j.right][:12]
    return report


def summarise(judged: list[Judged]) -> Report:
    """The figures of one group of judged pairs; shares are None where nothing counts."""
    decidable = [j for j in judged if j.case.pair.gold != "tie"]
    decided = [j for j in decidable if j.called != "tie"]
    clear = [j for j in decided if set(j.case.pair.grades) == {"right", "wrong"}]
    votes = [vote for j in judged for vote in j.label["votes"]]
    return {
        "pairs": len(judged),
        "parsed": _share(vote["outcome"] == VERDICT for vote in votes),
        "accuracy": _share(j.right for j in decidable),
        "decidable": len(decidable),
        "ties called": _share(j.right for j in judged if j.case.pair.gold == "tie"),
        "decided": len(decided),
        "accuracy of decided": _share(j.right for j in decided),
        "decided right-or-wrong": len(clear),
        "accuracy of decided right-or-wrong": _share(j.right for j in clear),
        "orders agree": _share(j.label["position_consistent"] is True for j in judged),
        "exact replies": _share(j.exact for j in judged),
    }


async def _judge_all(
    judge: Judge, cases: list[Case], report: Report
) -> dict[Control, list[Judged]]:
    judged: dict[Control, list[Judged]] = {}
    controls: tuple[Control, ...] = ("true", "blank", "shuffled")
    for control in controls:
        began = time.monotonic()
        pictures = _pictures(cases, control)
        rows = [_row(case, picture) for case, picture in zip(cases, pictures, strict=True)]
        where = {"shard": "", "unit": "", "row": 0, "judge_id": "", "run_id": ""}
        labels = await asyncio.gather(*(judge.judge_pair(row, where) for row in rows))
        judged[control] = [Judged(c, label) for c, label in zip(cases, labels, strict=True)]
        report.setdefault("seconds", {})[control] = round(time.monotonic() - began, 1)
    return judged


def _row(case: Case, picture: bytes) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys([*PAIRS.names, "defect"])
    return nothing | pair_row(case.pair, "held-out", picture)


def _pictures(cases: Sequence[Case], control: Control) -> list[bytes]:
    pictures = [case.picture for case in cases]
    if control == "blank":
        return [_white(picture) for picture in pictures]
    # A third of the way round: far enough that kinds of questions and shapes are mixed.
    shift = len(pictures) // 3 if control == "shuffled" else 0
    return pictures[shift:] + pictures[:shift]


def _white(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return encode(Image.new("RGB", image.size, "white"), "PNG")


def _failure(judged: Judged) -> Report:
    return {
        "question": judged.case.pair.question,
        "shape": judged.case.shape,
        "wanted": reference_reply(judged.case.pair),
        "got": [vote["rationale"] for vote in judged.label["votes"]],
    }


def _grouped(judged: list[Judged], key: Callable[[Judged], str]) -> dict[str, Report]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for item in judged:
        groups[key(item)].append(item)
    return {name: summarise(groups[name]) for name in sorted(groups)}


def _share(outcomes: Iterable[bool]) -> float | None:
    counted = list(outcomes)
    return round(sum(counted) / len(counted), 4) if counted else None
