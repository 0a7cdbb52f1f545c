"""Media written as text: data URIs, and base64 without one."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from pipeline.media.signatures import known
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

_DATA_URI = re.compile(rb"data:[^,]{0,500}?(;base64)?,", re.IGNORECASE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
_HEAD = 64  # characters that tell what is encoded
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def decode_text(text: bytes) -> bytes | None:
    """The medium that a text encodes; None where it is no such text, but a path or the medium.

    Base64 without a data URI counts only if what it encodes begins as a picture or video does.

    Raises:
        RowRejected: media_corrupt, for a data URI that cannot be decoded.
    """
    if not (uri := _DATA_URI.match(text)):
        return _bare(text)
    content = unquote_to_bytes(text[uri.end() :])
    if uri[1] is None:
        return content
    try:
        return _decoded(content)
    except binascii.Error as error:
        raise RowRejected(
            Reason.MEDIA_CORRUPT,
            f"{uri[0].decode(errors='replace')}…: no base64 of a medium: {error}",
        ) from error


def _bare(text: bytes) -> bytes | None:
    head = text[:_HEAD]
    if len(head) < _HEAD or not _BASE64.fullmatch(head):
        return None
    try:
        if not known(_decoded(head[: _HEAD // 4 * 4])):
            return None
        return _decoded(text)
    except binascii.Error:
        return None


def _decoded(text: bytes) -> bytes:
    """Decodes base64 of either alphabet, with or without padding and line ends."""
    plain = b"".join(text.split()).translate(_URL_SAFE).rstrip(b"=")
    return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
