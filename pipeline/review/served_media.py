"""Clips as browsers ask for them: in ranges, named by what their bytes are, and nothing else."""

from __future__ import annotations

import re

from starlette.responses import Response

_MIME = (
    (re.compile(rb"....ftyp", re.S), "video/mp4"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "video/webm"),
    (re.compile(rb"OggS"), "video/ogg"),
)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def clip_response(data: bytes, wanted: str | None) -> Response:
    """A clip, or a range of its bytes.

    Args:
        data: of the clip.
        wanted: the header ``Range``, if there is one.

    Returns:
        200 or 206; 415 of bytes that no browser plays, and 416 of a range that it does not have.
    """
    kind = next((mime for begins, mime in _MIME if begins.match(data)), None)
    if kind is None:
        return Response("The clip is of a kind that browsers do not play.\n", 415)
    headers = {"accept-ranges": "bytes", "cache-control": "private, max-age=3600"}
    match = _RANGE.fullmatch(wanted or "")
    if match is None or not any(match.groups()):
        return Response(data, headers=headers, media_type=kind)
    start, stop = _bounds(match[1], match[2], len(data))
    if start >= stop:
        return Response(status_code=416, headers={"content-range": f"bytes */{len(data)}"})
    headers["content-range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, headers, kind)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:  # the last so many bytes
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
