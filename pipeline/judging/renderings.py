"""The versions of what a judge was shown and of how its replies were ended, one for each kind.

They are stored with every vote and are no part of the judge's identity: a corrected decoder, layout
or ending makes no other judge, and concerns only the rows whose votes it could have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.judging.judge_config import JudgeConfig


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A version for each kind; None where a vote has nothing of the kind.

    Attributes:
        text: of how the chat is laid out (``pipeline.engines.chat_layout``, ``prompts.fill``).
        image: of how pictures are decoded and resized (``pipeline.media.images``).
        video: of how frames are sampled, decoded and resized (``pipeline.media.videos``).
        ending: of where replies are cut off (``pipeline.judging.endings``).
    """

    text: int | None = None
    image: int | None = None
    video: int | None = None
    ending: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, int | None] | None) -> Rendering | None:
        """What labels v2 stores as ``row``; None where it states nothing."""
        return None if row is None or not any(row.values()) else cls(**row)


# What votes of labels v1, which state no rendering, were made with. Whether their replies were cut
# off is not known, and is taken as not so.
FIRST = Rendering(text=2, image=2, video=2)
# Raise a kind with any change of its code that can change a verdict of ordinary rows. One that
# concerns odd media alone would judge all rows with media again: infra/OPS.md says what then holds.
CURRENT = Rendering(text=2, image=2, video=2, ending=3)
# Up to ending 2, a verdict that was written in a picture or a clip could be taken for the judge's.
_CUT_AT_QUOTATIONS = 2


def rendering_of(*, images: bool, videos: bool, ended: bool) -> Rendering:
    """The rendering of a vote that is asked for now.

    Args:
        images: whether the prompt shows pictures.
        videos: whether it shows clips.
        ended: whether the reply is cut off behind a verdict.
    """
    return Rendering(
        text=CURRENT.text,
        image=CURRENT.image if images else None,
        video=CURRENT.video if videos else None,
        ending=CURRENT.ending if ended else None,
    )


def unstated(judge: JudgeConfig) -> Rendering:
    """What a vote of labels v1, which states no rendering, may have been shown: version 2."""
    return FIRST if judge.media.video.max_videos else replace(FIRST, video=None)


def concerns(seen: Rendering, current: Rendering = CURRENT) -> bool:
    """Whether something that a vote was made with has a later version by now.

    A vote of a later version than the current one is left as it is.
    """
    for kind in fields(Rendering):
        before, now = getattr(seen, kind.name), getattr(current, kind.name)
        without_media = seen.image is None and seen.video is None
        if kind.name == "ending" and before == _CUT_AT_QUOTATIONS and without_media:
            continue
        if before is not None and now is not None and before < now:
            return True
    return False
