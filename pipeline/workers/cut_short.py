"""Files that end before their container says.

What is missing may be whole frames, which ffmpeg reads as if they had never been there.
"""

from __future__ import annotations

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def cut_short(data: bytes) -> bool:
    """Whether an MP4 or QuickTime, Matroska or WebM, AVI or GIF file lacks its end.

    Of other containers (an MPEG stream may begin and end anywhere) nothing tells.
    """
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0\r\n").endswith(b";")
    if data.startswith(b"RIFF"):
        return 8 + int.from_bytes(data[4:8], "little") > len(data)
    if data.startswith(_EBML):
        return _segment_ends_after(data)
    return _box_ends_after(data)


def _box_ends_after(data: bytes) -> bool:
    """Whether the last of a file's boxes is larger than what is left for it."""
    at = 0
    while len(data) - at >= 8 and data[at + 4 : at + 8].isalnum():
        size, least = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:  # the size follows
            size, least = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < least:  # 0: to the end of the file; less is none
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
