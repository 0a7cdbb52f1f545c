"""Files that end before their container says: ffmpeg reads these formats as if they were whole."""

from __future__ import annotations

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def cut_short(data: bytes) -> bool:
    """Whether a Matroska (WebM) or GIF file ends before it says."""
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0\r\n").endswith(b";")
    if not data.startswith(_EBML):
        return False
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
