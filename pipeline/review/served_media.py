"""Pictures and clips as browsers ask for them: pictures made anew here, clips in ranges."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.review.pair_view import media_at
from pipeline.review.reviewed_output import Reviewed
from pipeline.runtime.errors import RowRejected
from pipeline.runtime.printable import printable

_LARGE, _SMALL = 2_000, 560  # pixels of the longer side of a picture
_CACHED = {"cache-control": "private, max-age=3600"}
# Clips that browsers play, by how they begin; all else is never handed out as it is.
_MIME = (
    (re.compile(rb"....ftyp", re.S), "video/mp4"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "video/webm"),
    (re.compile(rb"OggS"), "video/ogg"),
)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def medium_response(
    reviewed: Reviewed, pair: Mapping[str, Any] | None, problem: str | None, request: Request
) -> Response:
    """A picture as WEBP of our own making; a clip as it is, or as a small picture its first frame.

    Args:
        reviewed: reads and decodes it.
        pair: a row of pairs v2, or None.
        problem: why there is none.
        request: ``part`` says which one, ``size=large`` that it is not a small copy.

    Raises:
        HTTPException: there is no such picture or clip.
        StorageError: the store fails.
    """
    found = media_at(pair, request.query_params.get("part", "")) if pair else None
    if found is None:
        raise HTTPException(404, problem or "There is no such picture or clip.")
    kind, reference = found
    small = request.query_params.get("size") != "large"
    try:
        data = reviewed.media(reference)
        if kind == "video" and not small:
            return clip_response(data, request.headers.get("range"))
        side = _SMALL if small else _LARGE
        image = reviewed.decoder.thumbnail(data, side, video=kind == "video")
    except RowRejected as rejected:
        return PlainTextResponse(printable(str(rejected)), 422)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85, method=2)
    return Response(buffer.getvalue(), headers=_CACHED, media_type="image/webp")


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
        return PlainTextResponse("The clip is of a kind that browsers do not play.\n", 415)
    headers = {"accept-ranges": "bytes", **_CACHED}
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
