"""Evaluates a tiny judge through vLLM on held-out scenes, with controls that it must fail.

A judge that really looks is at chance when the picture is white or another pair's.
"""

import io
import json
import logging
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from PIL import Image

from pipeline.tiny_judge.engine import greedy_replies
from pipeline.tiny_judge.pairs import Gold, Order, ScenePair, reference_reply, sample_pair
from pipeline.tiny_judge.samples import resized
from pipeline.tiny_judge.scenes import Size, encode, render

log = logging.getLogger(__name__)

Control: TypeAlias = Literal["true", "blank", "shuffled"]
Scores: TypeAlias = tuple[int, int]
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
_REPLY: Final = re.compile(
    r"<think>\n.*</think>\s*<answer>\s*(\d{1,2})\s*</answer>\s*<answer>\s*(\d{1,2})\s*</answer>\s*",
    re.DOTALL,
)


@dataclass(frozen=True)
class Case:
    """A held-out pair with its picture as it arrives."""

    pair: ScenePair
    picture: Image.Image
    shape: str


@dataclass(frozen=True)
class Judged:
    """A case with the scores of each order, mapped back to (a, b); None if unreadable."""

    case: Case
    scores: tuple[Scores | None, Scores | None]
    exact: bool

    @property
    def sides(self) -> tuple[Gold | None, Gold | None]:
        """The preferred side by each order."""
        first, second = (None if s is None else _side(s) for s in self.scores)
        return first, second

    @property
    def label(self) -> Gold:
        """The side on which both orders agree, else a tie."""
        first, second = self.sides
        return first if first is not None and first == second else "tie"


def parse_reply(text: str) -> Scores | None:
    """Two scores of 1 to 10 after the reasoning and nothing else; None if the reply is not that."""
    match = _REPLY.fullmatch(text)
    if match is None:
        return None
    first, second = int(match[1]), int(match[2])
    return (first, second) if 1 <= first <= 10 and 1 <= second <= 10 else None


def held_out_cases(count: int, seed: int) -> list[Case]:
    """Draw held-out pairs with pictures of many sizes and aspects, a third of them as JPEG."""
    rng = random.Random(f"evaluation/{seed}")
    cases = []
    for index in range(count):
        pair = sample_pair(rng, held_out=True)
        shape, sizes = _SIZES[index % len(_SIZES)]
        picture = render(pair.scene, rng, rng.choice(sizes))
        if rng.random() < 1 / 3:
            picture = _through_jpeg(picture, rng.randint(70, 95))
        cases.append(Case(pair, picture, shape))
    return cases


def evaluate(folder: Path, pairs: int, seed: int) -> Report:
    """Judge held-out pairs in both orders, with true, blank and shuffled pictures.

    Args:
        folder: The judge's Hugging Face folder.
        pairs: Number of pairs.
        seed: Seed of the cases.

    Returns:
        Figures by control; those of true pictures also by question, shape and grades.
    """
    cases = held_out_cases(pairs, seed)
    controls: tuple[Control, ...] = ("true", "blank", "shuffled")
    prompts = [
        (case.pair, order, resized(picture))
        for control in controls
        for case, picture in zip(cases, _pictures(cases, control), strict=True)
        for order in ORDERS
    ]
    start = time.monotonic()
    replies = greedy_replies(folder, prompts)
    seconds = time.monotonic() - start
    report: Report = {"pairs": pairs, "seed": seed, "judgments_per_second": len(prompts) / seconds}
    for index, control in enumerate(controls):
        part = replies[2 * pairs * index : 2 * pairs * (index + 1)]
        judged = [_judge(c, part[2 * i : 2 * i + 2]) for i, c in enumerate(cases)]
        report[control] = summarise(judged)
        if control == "true":
            report["by question"] = _grouped(judged, lambda j: j.case.pair.kind)
            report["by shape"] = _grouped(judged, lambda j: j.case.shape)
            report["by grades"] = _grouped(judged, lambda j: "/".join(sorted(j.case.pair.grades)))
            report["failures"] = _failures(judged, part)
    return report


def summarise(judged: list[Judged]) -> Report:
    """The figures of one group of judged pairs; shares are None where nothing counts."""
    decidable = [j for j in judged if j.case.pair.gold != "tie"]
    ties = [j for j in judged if j.case.pair.gold == "tie"]
    decided = [j for j in decidable if j.label != "tie"]
    clear = [j for j in decided if set(j.case.pair.grades) == {"right", "wrong"}]
    return {
        "pairs": len(judged),
        "parsed": _share(s is not None for j in judged for s in j.scores),
        "accuracy": _share(j.label == j.case.pair.gold for j in decidable),
        "decidable": len(decidable),
        "ties called": _share(j.label == "tie" for j in ties),
        "decided": len(decided),
        "accuracy of decided": _share(j.label == j.case.pair.gold for j in decided),
        "decided right-or-wrong": len(clear),
        "accuracy of decided right-or-wrong": _share(j.label == j.case.pair.gold for j in clear),
        "orders agree": _share(j.sides[0] is not None and j.sides[0] == j.sides[1] for j in judged),
        "exact replies": _share(j.exact for j in judged),
    }


def write_report(report: Report, path: Path | None) -> None:
    """Log a report and, if a path is given, write it as JSON."""
    text = json.dumps(report, indent=1)
    log.info("%s", text)
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")


def _pictures(cases: list[Case], control: Control) -> list[Image.Image]:
    pictures = [case.picture for case in cases]
    if control == "blank":
        return [Image.new("RGB", picture.size, "white") for picture in pictures]
    # A third of the way round: far enough that kinds of questions and shapes are mixed.
    shift = len(pictures) // 3 if control == "shuffled" else 0
    return pictures[shift:] + pictures[:shift]


def _judge(case: Case, replies: list[str]) -> Judged:
    forward, backward = (parse_reply(reply) for reply in replies)
    mapped = None if backward is None else (backward[1], backward[0])
    wanted = [reference_reply(case.pair, order) for order in ORDERS]
    return Judged(case, (forward, mapped), replies == wanted)


def _failures(judged: list[Judged], replies: list[str], most: int = 12) -> list[Report]:
    return [
        {
            "question": j.case.pair.question,
            "shape": f"{j.case.shape} {j.case.picture.size}",
            "wanted": reference_reply(j.case.pair),
            "got": replies[2 * i : 2 * i + 2],
        }
        for i, j in enumerate(judged)
        if j.label != j.case.pair.gold
    ][:most]


def _grouped(judged: list[Judged], key: Callable[[Judged], str]) -> dict[str, Report]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for item in judged:
        groups[key(item)].append(item)
    return {name: summarise(groups[name]) for name in sorted(groups)}


def _share(outcomes: Iterable[bool]) -> float | None:
    counted = list(outcomes)
    return round(sum(counted) / len(counted), 4) if counted else None


def _side(scores: Scores) -> Gold:
    return "tie" if scores[0] == scores[1] else "a" if scores[0] > scores[1] else "b"


def _through_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encode(picture, "JPEG", quality))).convert("RGB")
