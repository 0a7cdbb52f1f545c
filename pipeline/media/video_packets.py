"""The frames of a video by the packets of its container, without decoding any.

A file that ends before its container states is refused first: ffmpeg would read it as if the
missing frames had never been there.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from pipeline.media.media_config import MediaConfig
from pipeline.media.signatures import unsupported, video_format
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

# The demuxers that may read a video, by the names that ffmpeg matches them with.
CONTAINERS = ("mov", "mp4", "matroska", "webm", "avi", "gif", "mpegts", "mpeg", "flv", "ogg", "asf")
_HEADER_TOLERANCE = 0.01  # a header's rate this near to the measured one is the exact one
# A title in another encoding is no reason to refuse a video. From 19 on PyAV never does.
_ANY_TITLE: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # ffmpeg's own decoders leave it out
_MOST_PIXELS = 2**27  # of a frame
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # magic numbers of Matroska


class Packet(NamedTuple):
    """A coded frame: its position in the file, its time, and whether decoding can start there."""

    position: int
    pts: int | None
    key: bool


@dataclass(frozen=True)
class Timeline:
    """The frames of a video by their packets.

    Attributes:
        packets: one for each frame, in the file's order.
        times: when each frame is shown, in the stream's time base and in order; None where the
            container has none, and frames have to be decoded to be counted.
        rate: frames a second; 0 where it is unknown.
        area: pixels of a frame, as the header states them.
        aspect: width to height of one pixel.
        codec: as ffmpeg names it, whichever its decoder.
    """

    packets: tuple[Packet, ...]
    times: tuple[int, ...] | None
    rate: float
    area: int
    aspect: float
    codec: str


@contextmanager
def opened(
    data: bytes, limits: MediaConfig
) -> Iterator[tuple[InputContainer, VideoStream, VideoCodecContext]]:
    """Opens a video for one thread, from memory, with the decoder of its frames.

    Raises:
        RowRejected: no video, or frames that are too large; from the body, where it is damaged.
    """
    most = limits.max_decoded_pixels
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
    try:
        with av.open(io.BytesIO(data), "r", options=options, **_ANY_TITLE) as container:
            stream = container.streams.best("video")
            # The cover of a song is stored as a video stream.
            if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
                kinds = ", ".join(sorted({each.type for each in container.streams})) or "nothing"
                raise corrupt(f"the file has no video stream, only {kinds}")
            decoder: Any = _decoder(stream)
            if decoder is None:
                name = container.format.name
                detail = f"there is no decoder for the codec of the video ({name})"
                raise RowRejected(Reason.MEDIA_UNSUPPORTED, detail)
            if decoder.width * decoder.height > most:
                raise too_large(
                    f"the video declares frames of {decoder.width}x{decoder.height} pixels",
                    f"{most:,} (judge.media.max_decoded_pixels)",
                )
            decoder.thread_count = 1  # threads are across pairs
            # Frames may be larger than stated: no memory for those beyond all usual limits.
            decoder.options = {"max_pixels": str(max(most, _MOST_PIXELS))}
            yield container, stream, decoder
    except av.FFmpegError as error:
        if video_format(data) is None:
            raise unsupported(data, "video") from error
        text = error.strerror or type(error).__name__
        raise corrupt(f"damaged, or no video in {', '.join(CONTAINERS)}: {text}") from error


def _decoder(stream: VideoStream) -> Any:
    """The decoder of a stream: one that knows transparency, where the stream has some."""
    own = stream.codec_context
    if own is None or stream.metadata.get("ALPHA_MODE", stream.metadata.get("alpha_mode")) != "1":
        return own
    name = _WITH_ALPHA.get(own.name)
    if name is None:
        return own
    decoder: Any = av.CodecContext.create(name, "r")
    decoder.width, decoder.height = own.width, own.height
    return decoder


def list_frames(data: bytes, limits: MediaConfig) -> Timeline:
    """Reads the packets of a video.

    Raises:
        RowRejected: no video, damaged, cut short, or too large.
    """
    other = unsupported(data, "video")
    if video_format(data) is None and other.reason is Reason.MEDIA_UNSUPPORTED:
        raise other
    if cut_short(data):
        raise corrupt("the file ends before its container states: it was cut short")
    with opened(data, limits) as (container, stream, decoder):
        header_rate = stream.average_rate or stream.guessed_rate
        base = stream.time_base or Fraction(1)
        area = decoder.width * decoder.height
        aspect = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
        codec = stream.codec_context.codec.canonical_name
        packets, last = _scan(container.demux(stream), limits.video.max_source_frames)
    if not packets:
        raise corrupt("the video has no frame")
    known = [packet.pts for packet in packets if packet.pts is not None]
    times = tuple(sorted(known)) if len(set(known)) == len(packets) else None
    rate = _rate(times, last, base, header_rate)
    return Timeline(tuple(packets), times, rate, area, aspect, codec)


def cut_short(data: bytes) -> bool:
    """Whether an MP4 or QuickTime, Matroska or WebM, AVI or GIF file lacks its end.

    False for other containers: an MPEG stream may begin and end anywhere.
    """
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0\r\n").endswith(b";")
    if data.startswith(b"RIFF"):
        return 8 + int.from_bytes(data[4:8], "little") > len(data)
    if data.startswith(_EBML):
        return _segment_ends_after(data)
    return _box_ends_after(data)


def is_gap(packet: Any) -> bool:
    """Whether a packet only repeats a frame; the empty one at the end has no time."""
    return not packet.size and packet.dts is not None


def corrupt(detail: str) -> RowRejected:
    """The refusal of a damaged video."""
    return RowRejected(Reason.MEDIA_CORRUPT, detail)


def too_large(what: str, limit: str) -> RowRejected:
    """The refusal of a video beyond a limit."""
    return RowRejected(Reason.MEDIA_TOO_LARGE, f"{what}; the limit is {limit}")


def _scan(demuxed: Iterable[Any], most: int) -> tuple[list[Packet], int | None]:
    """The packets that show a frame, and how long the last one is shown."""
    packets: list[Packet] = []
    latest, duration = None, None
    for position, packet in enumerate(demuxed):
        if packet.is_corrupt:
            raise corrupt(f"the packet of frame {len(packets):,} is damaged or cut short")
        if not packet.size or packet.is_discard:  # the end, a gap, what is cut off by an edit
            continue
        packets.append(Packet(position, packet.pts, packet.is_keyframe))
        if packet.pts is not None and (latest is None or packet.pts > latest):
            latest, duration = packet.pts, packet.duration
        if len(packets) > most:
            raise too_large(
                "the video has more frames", f"{most:,} (judge.media.video.max_source_frames)"
            )
    return packets, duration


def _rate(
    times: Sequence[int] | None, last: int | None, base: Fraction, header: Fraction | None
) -> float:
    """Frames a second: the header's where the times confirm it, or else the measured one."""
    stated = float(header) if header else 0.0
    if not times:
        return stated
    span = times[-1] - times[0]
    span += last or (span // (len(times) - 1) if len(times) > 1 else 0)
    if span <= 0:
        return stated
    measured = len(times) / float(span * base)
    return stated if abs(stated - measured) <= _HEADER_TOLERANCE * measured else measured


def _box_ends_after(data: bytes) -> bool:
    """Whether the last of a file's boxes is larger than what is left for it."""
    at = 0
    while len(data) - at >= 8 and data[at + 4 : at + 8].isalnum():
        size, least = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:  # the size follows
            size, least = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < least:  # 0: to the end of the file; other small sizes are invalid
            return False
        at += size
    return at > len(data)


def _segment_ends_after(data: bytes) -> bool:
    header, start = _size(data, len(_EBML))
    at = start + (header or 0)
    if data[at : at + 4] != _SEGMENT:
        return False
    segment, start = _size(data, at + 4)
    return segment is not None and start + segment > len(data)


def _size(data: bytes, at: int) -> tuple[int | None, int]:
    """An EBML size (None: unknown, as live recordings have it) and where its content starts."""
    if at >= len(data) or not data[at]:
        return None, at + 1
    length = 9 - data[at].bit_length()
    bits = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (None if bits == (1 << 7 * length) - 1 else bits), at + length
