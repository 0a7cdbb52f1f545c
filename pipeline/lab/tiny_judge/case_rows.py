"""Cases as rows of pairs v1, their pictures and clips encoded."""

from __future__ import annotations

import random
from typing import Any, Final

from pipeline.lab.tiny_judge.cases import Candidate, Case, Shown
from pipeline.lab.tiny_judge.clip_files import ClipFormat, encode_clip
from pipeline.lab.tiny_judge.motions import Motion, render_motion
from pipeline.lab.tiny_judge.scenes import Format, Size, encode, render
from schemas.pairs import PAIRS

SOURCE: Final = "tiny-judge-scenes"
SIZES: Final[tuple[Size, ...]] = (
    *((224, 224), (320, 240), (240, 320), (640, 480), (300, 200), (160, 160)),
)
_CLIP_SIZES: Final[tuple[Size, ...]] = ((112, 112), (160, 120), (120, 160), (224, 126))
# Frames and frames a second: clips that are sampled to two frames, and to four.
_CLIP_LENGTHS: Final = ((4, 4), (8, 8), (8, 4), (12, 6), (10, 4))
_PICTURE_FORMATS: Final[tuple[Format, ...]] = ("PNG", "JPEG")
_CLIP_FORMATS: Final[tuple[ClipFormat, ...]] = ("mp4", "mp4", "mp4", "gif")

Row = dict[str, Any]


def row_of(case: Case, pair_id: str, rng: random.Random, sizes: tuple[Size, ...] = SIZES) -> Row:
    """The case as a row of pairs v1, with what is true of it as gold.

    Args:
        case: What is shown.
        pair_id: Identifier of the row.
        rng: Source of the jitter of pictures and clips.
        sizes: Sizes of pictures, in pixels.
    """
    row: Row = dict.fromkeys(PAIRS.names)
    row |= {"pair_id": pair_id, "source": SOURCE, **_media(case.context, rng, sizes)}
    if len(case.turns) == 1:
        row["prompt"] = case.question
    else:
        row["messages"] = [{"role": role, "content": said} for role, said in case.turns]
    made = [_response(candidate, rng, sizes) for candidate in case.candidates]
    if case.format.startswith("pairwise"):
        return row | {"response_a": made[0], "response_b": made[1], "gold": case.gold}
    return row | {"candidates": made, "gold_scores": [float(score) for score in case.scores]}


def _response(candidate: Candidate, rng: random.Random, sizes: tuple[Size, ...]) -> Row:
    shown = () if candidate.shown is None else (candidate.shown,)
    return {"text": candidate.text, "model": None, **_media(shown, rng, sizes)}


def _media(shown: tuple[Shown, ...], rng: random.Random, sizes: tuple[Size, ...]) -> Row:
    images, videos = [], []
    for each in shown:
        if isinstance(each, Motion):
            count, fps = rng.choice(_CLIP_LENGTHS)
            frames = render_motion(each, rng, rng.choice(_CLIP_SIZES), count)
            data = encode_clip(frames, fps, rng.choice(_CLIP_FORMATS))
            videos.append({"bytes": data, "path": None})
        else:
            picture = render(each, rng, rng.choice(sizes))
            images.append({"bytes": encode(picture, rng.choice(_PICTURE_FORMATS)), "path": None})
    return {"images": images, "videos": videos}
