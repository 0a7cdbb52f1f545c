"""Pair shards of synthetic scenes: real input for the demo, the tests and the CPU benchmarks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.lab.tiny_judge.asked_formats import format_of
from pipeline.lab.tiny_judge.clip_files import ClipFormat, encode_clip
from pipeline.lab.tiny_judge.judging_cases import Candidate, Case, Shown
from pipeline.lab.tiny_judge.judging_tasks import named
from pipeline.lab.tiny_judge.motions import Motion, render_motion
from pipeline.lab.tiny_judge.scenes import PictureFormat, Size, encode, render
from pipeline.pairs.contents import Part, media_part, opening, pair_row, text_part
from schemas.contract import table_of
from schemas.pairs import PAIRS_V2

ONE_PICTURE: Final = "pairwise_scores/text/picture"
_SOURCE: Final = "tiny-judge-scenes"
_GROUP_ROWS: Final = 256
_PICTURE_SIZES: Final[tuple[Size, ...]] = (
    *((224, 224), (320, 240), (240, 320), (640, 480), (300, 200), (160, 160)),
)
_CLIP_SIZES: Final[tuple[Size, ...]] = ((112, 112), (160, 120), (120, 160), (224, 126))
# Frames and frames a second: clips that are sampled to two frames, and to four.
_CLIP_LENGTHS: Final = ((4, 4), (8, 8), (8, 4), (12, 6), (10, 4))
_PICTURE_FORMATS: Final[tuple[PictureFormat, ...]] = ("PNG", "JPEG")
_CLIP_FORMATS: Final[tuple[ClipFormat, ...]] = ("mp4", "mp4", "mp4", "gif")

Row = dict[str, Any]


def scene_rows(count: int, seed: int, task: str = ONE_PICTURE) -> list[Row]:
    """Rows of pairs v2 about held-out scenes, none of which the tiny judge was trained on.

    Args:
        count: number of rows.
        seed: the same seed gives the same rows, pictures and clips included.
        task: judging format and kind of candidates, such as ``pairwise_options/image``; of texts
            also what the question is about: ``pairwise_scores/text/pictures``, or several of
            these in turn if left out. ``pipeline.lab.tiny_judge.judging_tasks`` has them all.

    Raises:
        ValueError: there is no such task.
    """
    return [row for _, row in scene_cases(count, seed, task)]


def scene_cases(count: int, seed: int, task: str = ONE_PICTURE) -> list[tuple[Case, Row]]:
    """The same rows, each with the case that it shows."""
    tasks = named(task)
    rng = random.Random(f"{seed}/{task}")
    cases = []
    for number in range(count):
        case = tasks[number % len(tasks)].sample(rng, held_out=True)
        cases.append((case, _row(case, f"scene-{seed}-{number}", rng)))
    return cases


def write_scene_shards(
    folder: Path, shards: int, rows_a_shard: int, seed: int, task: str = ONE_PICTURE
) -> None:
    """Writes shards of scene pairs; a shard that exists already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        path = folder / f"scenes-{index:03d}.parquet"
        if not path.exists():
            table: pa.Table = table_of(scene_rows(rows_a_shard, seed + index, task), PAIRS_V2)
            temporary = path.with_suffix(".tmp")
            pq.write_table(table, temporary, row_group_size=_GROUP_ROWS, write_page_checksum=True)
            temporary.replace(path)


def _row(case: Case, pair_id: str, rng: random.Random) -> Row:
    """The case as a row of pairs v2, with the true preference or scores as gold."""
    shown = _media(case.context, rng)
    asked = [{"role": role, "content": [text_part(text)]} for role, text in case.turns]
    first = asked[opening(asked)]
    first["content"] = [*shown, *first["content"]]
    answers = [_response(candidate, rng) for candidate in case.candidates]
    row = pair_row(pair_id, asked, answers, source=_SOURCE)
    if format_of(case.format).about == "pair":
        return row | {"gold": case.gold}
    return row | {"gold_scores": [float(score) for score in case.scores]}


def _response(candidate: Candidate, rng: random.Random) -> list[Part]:
    shown = () if candidate.shown is None else (candidate.shown,)
    return [*_media(shown, rng), *([text_part(candidate.text)] if candidate.text else [])]


def _media(shown: tuple[Shown, ...], rng: random.Random) -> list[Part]:
    """Pictures, then clips."""
    images, videos = [], []
    for each in shown:
        if isinstance(each, Motion):
            count, fps = rng.choice(_CLIP_LENGTHS)
            frames = render_motion(each, rng, rng.choice(_CLIP_SIZES), count)
            data = encode_clip(frames, fps, rng.choice(_CLIP_FORMATS))
            videos.append(media_part("video", {"bytes": data, "path": None}))
        else:
            picture = render(each, rng, rng.choice(_PICTURE_SIZES))
            data = encode(picture, rng.choice(_PICTURE_FORMATS))
            images.append(media_part("image", {"bytes": data, "path": None}))
    return [*images, *videos]
