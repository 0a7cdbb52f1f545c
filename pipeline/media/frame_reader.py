"""Decodes the requested frames of a video, and as few others as possible.

A frame is requested by its time, so that it is the same frame wherever decoding began. Where the
times do not lead to all frames, frames are counted as they come out of the decoder.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from av.video.frame import VideoFrame

from pipeline.media.media_config import MediaConfig
from pipeline.media.video_packets import Packet, corrupt, is_gap, list_frames, opened, too_large

Shown = TypeVar("Shown")
Skip = Literal["NONREF", "DEFAULT"]
_START = Packet(0, None, True)  # decoding from here is always right


class Wanted(NamedTuple):
    """A frame to decode: by its time, or without one by its number in the order shown."""

    pts: int | None
    number: int


class FrameReader:
    """Reads frames of one video in the calling thread; keeps its bytes and nothing else.

    Attributes:
        timeline: the frames by their packets.
    """

    def __init__(self, data: bytes, limits: MediaConfig) -> None:
        """Reads the packets, decoding nothing.

        Raises:
            RowRejected: no video, damaged, cut short, or too large.
        """
        self._data, self._limits = data, limits
        self.timeline = list_frames(data, limits)

    def read(
        self, numbers: Sequence[int], convert: Callable[[VideoFrame], Shown]
    ) -> list[Shown] | None:
        """Decodes frames by their times, from the key frame before each.

        Args:
            numbers: of the frames in the order shown, ascending.
            convert: turns a frame into what is kept.

        Returns:
            The converted frames; None where the times do not lead to all of them.

        Raises:
            RowRejected: damaged, or too much would have to be decoded.
        """
        if self.timeline.times is None:
            return None
        wanted = [Wanted(self.timeline.times[number], number) for number in numbers]
        from_keys, from_start = self._key_packets(wanted), [_START] * len(wanted)
        attempts: list[tuple[list[Packet], Skip]] = [(from_keys, "NONREF"), (from_start, "DEFAULT")]
        for starts, skip in attempts:
            self._check_cost(self._cost(wanted, starts))
            if (found := self._decode(wanted, starts, skip, convert)) is not None:
                return found
        return None

    def count(self) -> int:
        """How many frames there are, by decoding all of them.

        Raises:
            RowRejected: damaged, without any frame, or too much would have to be decoded.
        """
        self._check_cost(len(self.timeline.packets))
        total, pixels = 0, 0
        with opened(self._data, self._limits) as (container, stream, decoder):
            for packet in container.demux(stream):
                for frame in () if is_gap(packet) else decoder.decode(packet):
                    total, pixels = total + 1, pixels + self._area(frame, pixels)
        if not total:
            raise corrupt("no frame of the video can be decoded")
        return total

    def read_counted(
        self, numbers: Sequence[int], convert: Callable[[VideoFrame], Shown]
    ) -> list[Shown]:
        """Decodes frames by their numbers as ``count`` counts them, from the start.

        Raises:
            RowRejected: damaged.
        """
        wanted = [Wanted(None, number) for number in numbers]
        found = self._decode(wanted, [_START] * len(wanted), "DEFAULT", convert)
        if found is None:
            raise corrupt("the video decodes to fewer frames than before")
        return found

    def _key_packets(self, wanted: Sequence[Wanted]) -> list[Packet]:
        """The packet to start from for each frame: the last key frame that is not after it."""
        keys = sorted((p for p in self.timeline.packets if p.key), key=lambda p: p.pts or 0)
        times = [packet.pts or 0 for packet in keys]
        found = [bisect.bisect_right(times, each.pts or 0) - 1 for each in wanted]
        return [keys[index] if index >= 0 else _START for index in found]

    def _cost(self, wanted: Sequence[Wanted], starts: Sequence[Packet]) -> int:
        """How many frames have to be decoded to reach those wanted."""
        positions = {packet.pts: packet.position for packet in self.timeline.packets}
        needed, reached = 0, -1
        for each, start in zip(wanted, starts, strict=True):
            position = positions[each.pts]
            needed += max(0, position - max(start.position, reached + 1) + 1)
            reached = max(reached, position)
        return needed

    def _check_cost(self, frames: int) -> None:
        """Refuses what would take too long, before any of it is decoded."""
        limit, area = self._limits.video.max_decoded_pixels, self.timeline.area
        if frames * area > limit:
            raise too_large(
                f"{frames:,} frames of {area:,} pixels would have to be decoded to reach those "
                "shown",
                f"{limit:,} pixels (judge.media.video.max_decoded_pixels)",
            )

    def _area(self, frame: VideoFrame, pixels: int) -> int:
        """The area of a decoded frame, which may be larger than the header states.

        Raises:
            RowRejected: the frame, or all that were decoded with it, are too large.
        """
        area, most = frame.width * frame.height, self._limits.max_decoded_pixels
        if area > most:
            raise too_large(
                f"a frame of the video has {frame.width}x{frame.height} pixels",
                f"{most:,} (judge.media.max_decoded_pixels)",
            )
        if (all_of := pixels + area) > self._limits.video.max_decoded_pixels:
            raise too_large(
                f"{all_of:,} pixels were decoded before all frames shown were found",
                f"{self._limits.video.max_decoded_pixels:,} (judge.media.video.max_decoded_pixels)",
            )
        return area

    def _decode(
        self,
        wanted: Sequence[Wanted],
        starts: Sequence[Packet],
        skip: Skip,
        convert: Callable[[VideoFrame], Shown],
    ) -> list[Shown] | None:
        """The converted frames; None where the decoder did not put out one of them.

        Args:
            wanted: the frames, in the order shown.
            starts: the packet to start from for each.
            skip: which of the other frames the decoder leaves out: ``"NONREF"`` for those that
                no other needs, which halves the work of most videos.
            convert: turns a frame into what is kept.
        """
        times = {each.pts for each in wanted}
        found: list[Shown] = []
        start = _START
        decoded, pixels, decoding, sound = 0, 0, False, True
        with opened(self._data, self._limits) as (container, stream, decoder):
            for position, packet in enumerate(container.demux(stream)):
                if not decoding and position >= starts[len(found)].position:
                    start = starts[len(found)]
                    decoder.flush_buffers()
                    decoding, sound = True, start == _START
                if not decoding or is_gap(packet):
                    continue
                needed = packet.pts in times or not packet.size
                decoder.skip_frame = "DEFAULT" if needed else skip
                for frame in decoder.decode(packet):
                    pixels += self._area(frame, pixels)
                    # Not every frame that a container marks as a key frame is one.
                    sound = sound or (frame.pts == start.pts and frame.key_frame)
                    outcome = _compare(frame, decoded, wanted[len(found)])
                    decoded += 1
                    if outcome == "before":
                        continue
                    if outcome == "missed" or not sound:
                        return None
                    found.append(convert(frame))
                    if len(found) == len(wanted):
                        return found
                    decoding = starts[len(found)].position <= position
        return None


def _compare(frame: VideoFrame, decoded: int, target: Wanted) -> Literal["before", "it", "missed"]:
    """Whether a frame comes before the target, is it, or is past it."""
    reached, sought = (decoded, target.number) if target.pts is None else (frame.pts, target.pts)
    if reached is None or reached > sought:
        return "missed"
    if reached < sought:
        return "before"
    if frame.is_corrupt:
        raise corrupt(f"frame {target.number:,} is damaged")
    return "it"
