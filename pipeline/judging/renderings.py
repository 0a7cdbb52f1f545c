"""The versions of what a judge was shown and of how its replies were ended, one for each kind.

They are stored with every vote and are no part of the judge's identity: a corrected decoder, layout
or ending makes no other judge, and concerns only the rows whose votes it could have changed.

What few rows have, such as a picture with transparency, is a kind of its own (``NARROW``), stored
with the row if the row has it. Raising one re-judges these rows alone. Of rows whose votes are of
an earlier version it is not known what they have: they stay, unless ``label --rerender`` names the
kind. Then they are read, and judged again if they have it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace


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
# Raise a kind with any change of its code that can change a verdict of ordinary rows; one that
# concerns what few rows have raises a narrow kind.
CURRENT = Rendering(text=2, image=2, video=2, ending=3)
# A kind belongs to the one in CURRENT before its dot. In version 1 all are shown as a browser does.
NARROW: Mapping[str, int] = {
    "text.placeholder": 1,  # a medium that stands within a text, or a tag such as <image> in one
    "text.tag": 1,  # what may be an added token of a tokenizer, such as </think>
    "image.alpha": 1,  # transparency, of a palette too
    "image.depth": 1,  # more than 8 bits a sample
    "image.ink": 1,  # CMYK and Lab
    "image.profile": 1,  # colours of a profile, or of code points
    "image.turned": 1,  # by EXIF
    "image.canvas": 1,  # larger than the first frame: APNG, GIF
    "video.alpha": 1,
    "video.aspect": 1,  # pixels that are not square
    "video.colour": 1,  # a matrix, primaries or a transfer function other than the usual ones
    "video.turned": 1,
}
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


def unstated(*, videos: bool) -> Rendering:
    """What a vote of labels v1, which states no rendering, may have been shown: version 2.

    Args:
        videos: whether its judge is shown clips.
    """
    return FIRST if videos else replace(FIRST, video=None)


def shown_kinds(kinds: Iterable[str]) -> list[dict[str, str | int]]:
    """Narrow kinds that a row has, as labels v2 stores them when it is shown now."""
    return [{"kind": kind, "version": NARROW[kind]} for kind in sorted(kinds)]


def concerns_kinds(
    shown: Iterable[Mapping[str, str | int]], current: Mapping[str, int] = NARROW
) -> bool:
    """Whether a narrow kind that a row was shown with has a later version by now."""
    return any(int(each["version"]) < current.get(str(each["kind"]), 0) for each in shown)


def may_have(seen: Rendering, kinds: Collection[str]) -> bool:
    """Whether a row, of which no narrow kinds are known, may have one of these."""
    return any(getattr(seen, kind.partition(".")[0]) is not None for kind in kinds)


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
