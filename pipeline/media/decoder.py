"""Decodes pictures and clips in processes that may die, within a budget of memory and of time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pyarrow as pa
from PIL import Image

from pipeline.media.clip import Clip
from pipeline.media.decode_budget import DecodeBudget, give_memory_back
from pipeline.media.images import decode_image, image_thumbnail, kinds_of_picture, with_kinds
from pipeline.media.media_config import MediaConfig
from pipeline.media.model_sizes import qwen_rule, use_rules
from pipeline.media.shared_decoding import SharedDecoding
from pipeline.media.videos import clip_thumbnail, decode_video
from pipeline.runtime.disposable import ProcessDiedError, TimeLimitError, disposables_of
from pipeline.runtime.disposable_process import ask
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

Sent = tuple[pa.Array, tuple[int, int]]
"""Pillow's own memory of an RGB picture, which Arrow does not copy; width and height."""
SentPicture = tuple[Sent, frozenset[str]]
SentClip = tuple[list[Sent], float, frozenset[str]]

_NICENESS = 4  # gets 0.41 times as much of a core that a thread of niceness 0 wants, too


class MediaDecoder:
    """Decodes the media of one judge; called from many threads, each with a process of its own."""

    def __init__(
        self, limits: MediaConfig, memory: int = 2**30, threads: int = 1, seconds: float = 300
    ) -> None:
        """Starts nothing yet.

        Args:
            limits: how media are shown, and what may be decoded.
            memory: bytes that all processes may use at once; what needs more is decoded alone.
            threads: how many decode at once.
            seconds: how long one medium may take.
        """
        self._limits = pickle.dumps(limits)
        self._seconds = seconds
        # Half of the memory is for media that take their process's share, without a word; a
        # sixteenth for what rows have in common: several pairs of one picture, as a rule.
        self._share = memory // 2 // threads
        kept = memory // 16
        self._budget = DecodeBudget(memory - self._share * threads - kept)
        self._pictures = SharedDecoding[SentPicture](kept // 2, lambda sent: _bytes_of(sent[0]))
        self._clips = SharedDecoding[SentClip](
            kept // 2, lambda sent: sum(_bytes_of(frame) for frame in sent[0])
        )

    def image(self, data: bytes) -> Image.Image:
        """A picture as :func:`pipeline.media.images.decode_image` has it; raises likewise.

        A picture whose decoder dies is ``media_corrupt``, one that takes too long
        ``media_too_large``.
        """
        sent, kinds = self._pictures.get(_digest(data), lambda: self._decoded(_image, data))
        return with_kinds(_received(*sent), kinds)

    def clip(self, data: bytes) -> Clip:
        """A clip as :func:`pipeline.media.videos.decode_video` has it; raises as :meth:`image`."""
        frames, fps, kinds = self._clips.get(_digest(data), lambda: self._decoded(_clip, data))
        return Clip(tuple(_received(*frame) for frame in frames), fps, kinds)

    def thumbnail(self, data: bytes, side: int, *, video: bool) -> Image.Image:
        """A small copy of a picture, or of a clip's first frame; raises as :meth:`image`."""
        return _received(*self._decoded(_thumbnail, data, side, video))

    def _decoded(self, function: Callable[..., Any], data: bytes, *how: Any) -> Any:
        arguments = (pickle.PickleBuffer(data), self._limits, self._share, *how)
        limits: dict[str, Any] = {"seconds": self._seconds, "granted": self._granted}
        try:
            return disposables_of(__name__).call(function, *arguments, **limits)
        except ProcessDiedError as died:
            detail = f"what decodes it dies each time ({died})"
            raise RowRejected(Reason.MEDIA_CORRUPT, detail) from died
        except TimeLimitError as error:
            detail = f"not decoded within {self._seconds:g} s (engine.decode_seconds)"
            raise RowRejected(Reason.MEDIA_TOO_LARGE, detail) from error

    def _granted(self, asked: float | tuple[Any, ...]) -> AbstractContextManager[Any]:
        """Memory for one medium; or a size, computed here, where torch may be imported anyway."""
        if not isinstance(asked, tuple):
            return self._budget.reserve(asked)
        try:
            return nullcontext(qwen_rule(*asked))
        except ValueError as error:
            return nullcontext(error)


def _received(pixels: pa.Array, size: tuple[int, int]) -> Image.Image:
    """A picture whose pixels stay where the process that decoded it has put them."""
    return Image.fromarrow(pixels, "RGB", size)


def _bytes_of(sent: Sent) -> int:
    return int(sent[0].nbytes)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


# What follows runs in those processes.


class _AskedBudget(DecodeBudget):
    """For what exceeds this process's share, asks the process that called it."""

    def __init__(self, share: int) -> None:
        super().__init__()
        self._share = share

    @contextmanager
    def reserve(self, needed: float) -> Iterator[None]:
        """Waits for a large medium's memory, which is held until it is decoded."""
        if needed > self._share:
            ask(needed)
        yield


def _image(data: bytes, limits: bytes, share: int) -> SentPicture:
    _prepare()
    image = decode_image(data, _limits(limits), _AskedBudget(share))
    return _sent(image), kinds_of_picture(image)


def _clip(data: bytes, limits: bytes, share: int) -> SentClip:
    _prepare()
    clip = decode_video(data, _limits(limits), _AskedBudget(share))
    return [_sent(frame) for frame in clip.frames], clip.fps, clip.kinds


def _thumbnail(data: bytes, limits: bytes, share: int, side: int, video: bool) -> Sent:
    _prepare()
    made = clip_thumbnail if video else image_thumbnail
    return _sent(made(data, _limits(limits), side, _AskedBudget(share)))


def _sent(image: Image.Image) -> Sent:
    return pa.array(image), image.size


def _asked_rule(*asked: Any) -> Any:
    found = ask(asked)
    if isinstance(found, ValueError):
        raise found
    return found


@functools.cache
def _limits(pickled: bytes) -> MediaConfig:
    limits: MediaConfig = pickle.loads(pickled)
    return limits


@functools.cache
def _prepare() -> None:
    """Once a process: gives memory back, and leaves cores to the engine and its event loop.

    At the start of a run all of them decode what the next minutes need, while the event loop beside
    them and vLLM's engine core have a GPU to fill.
    """
    give_memory_back()
    use_rules(_asked_rule)
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.nice(_NICENESS)
