"""What bytes are, by how they begin: a format of pictures or clips, or a name for something else.

A web page among the pictures is no "corrupt" file: what cannot be shown is named by what it is.
"""

from __future__ import annotations

import re
from typing import Literal

from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason

Kind = Literal["picture", "video"]

_HEAD = 1_024  # bytes in which an ISO file's brands, a tag of HTML or SVG and the like are found
_RIFF = {b"WEBP": "WEBP", b"AVI ": "AVI", b"WAVE": "WAV sound"}
_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_VIDEOS: tuple[tuple[bytes, str], ...] = (
    (b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (b"OggS", "Ogg"),
    (b"FLV\1", "FLV"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF"),
    (b"\0\0\1\xba", "MPEG"),
    (b"\0\0\1\xb3", "MPEG"),
)
# Of the box "ftyp", by brand; other brands are videos.
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"crx ": "a raw photo (CR3)",
    b"M4A ": "M4A sound",
}
HEIC_FORMATS = ("HEIC", "HEIF")
_MP4 = "MP4 or QuickTime"
_TS_PACKET = 188  # bytes
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_CONVERT = "convert it to PNG, JPEG or WEBP"
# Beginnings of what is no picture or clip that can be shown: what it is, and what to do.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (LFS_POINTER, "a Git LFS pointer", "run git lfs pull where the files come from"),
    (b"\xff\x0a", "a JPEG XL picture", _CONVERT),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", _CONVERT),
    (b"8BPS", "a Photoshop file", _CONVERT),
    (b"%!PS", "a PostScript file", _CONVERT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file", _CONVERT),
    (b"%PDF", "a PDF", _CONVERT),
    (b"v/1\1", "an OpenEXR picture", _CONVERT),
    (b"#?RADIANCE", "a Radiance HDR picture", _CONVERT),
    (b"DDS ", "a DDS texture", _CONVERT),
    (b"qoif", "a QOI picture", _CONVERT),
    (b"icns", "an Apple icon", _CONVERT),
    (b"\0\0\2\0", "a cursor", _CONVERT),
    (b"\x93NUMPY", "a NumPy array", _CONVERT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", _CONVERT),
    (b"PAR1", "a Parquet file", "map the column of media"),
    (b"\x1f\x8b", "gzip", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unpack it first"),
    (b"BZh", "bzip2", "unpack it first"),
    (b"\xfd7zXZ\0", "xz", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"PK\3\4", "a ZIP archive", "unpack it first"),
    (b"Salted__", "an encrypted file (OpenSSL)", "decrypt it first"),
    (b"age-encryption.org/", "an encrypted file (age)", "decrypt it first"),
    (b"-----BEGIN PGP MESSAGE", "an encrypted file (PGP)", "decrypt it first"),
    (b"ID3", "MP3 sound", ""),
    (b"fLaC", "FLAC sound", ""),
    (b"#EXTM3U", "a playlist", "fetch the video itself"),
    (b"ffconcat ", "a playlist", "fetch the video itself"),
)
_HTML = re.compile(r"<(?:!doctype html|html|head|body|title|script)\b", re.IGNORECASE)
_SVG = re.compile(r"<(?:\w+:)?svg\b")
_CUT = 3  # bytes of a character in UTF-8 whose last one is cut off


def picture_format(data: bytes) -> str | None:
    """The format of a picture as Pillow calls it, or None; what follows may still be damaged."""
    found = next((name for start, name in _PICTURES if data.startswith(start)), None)
    if found or not (found := _riff(data) or _iso(data)):
        return found
    return found if found in ("WEBP", "AVIF", *HEIC_FORMATS) else None


def unsupported(data: bytes, expected: Kind) -> RowRejected:
    """The refusal of bytes that are not what is expected, by what they are.

    ``media_unsupported`` where they are something else; ``media_corrupt`` where they are nothing
    that is known, as a damaged file may be.
    """
    found, advice = _described(data, expected)
    size = f"{len(data):,} bytes"
    if not found:
        text = f"damaged, or no {expected}: {size} that begin with {data[:12].hex(' ')}"
        return RowRejected(Reason.MEDIA_CORRUPT, text)
    detail = f"got {found} ({size}), expected a {expected}"
    return RowRejected(Reason.MEDIA_UNSUPPORTED, f"{detail}: {advice}" if advice else detail)


def known(data: bytes) -> bool:
    """Whether bytes begin as a picture or video does, or as something else that has a name."""
    return bool(_described(data, "video")[0] or video_format(data))


def video_format(data: bytes) -> str | None:
    """What kind of video bytes begin as, or None: some have no beginning to know them by."""
    found = next((name for start, name in _VIDEOS if data.startswith(start)), None)
    if found:
        return found
    if (riff := _riff(data)) == "AVI" or data.startswith(b"GIF8"):
        return riff or "GIF"
    if data[:1] == data[_TS_PACKET : _TS_PACKET + 1] == b"G":
        return "MPEG-TS"
    return found if (found := _iso(data)) == _MP4 else None


def _described(data: bytes, expected: Kind) -> tuple[str, str]:
    """What bytes are, and what to do with them; empty texts where nobody knows."""
    if expected == "picture" and (name := video_format(data)):
        return f"a video ({name})", "map it as a video"
    if expected == "video" and (name := picture_format(data)) and name != "GIF":
        return f"a picture ({name})", "map it as a picture"
    for start, name, advice in _OTHERS:
        if data.startswith(start):
            return name, advice
    if brand := _iso(data) or _riff(data):
        if brand not in ("AVIF", "WEBP", "AVI", _MP4, *HEIC_FORMATS):
            return (brand, "") if " " in brand else (f"a {brand} picture", _CONVERT)
        return "", ""
    return _described_text(data)


def _described_text(data: bytes) -> tuple[str, str]:
    head = data[:_HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    text = head.decode(errors="ignore")
    cut = len(head) - len(text.encode())  # of its last character, or all that is no text
    if not text or cut > _CUT or not all(sign.isprintable() or sign.isspace() for sign in text):
        return "", ""
    if _SVG.search(text):
        return "an SVG drawing", _CONVERT
    if _HTML.search(text):
        return "an HTML page", "the download failed or needs a login: fetch it again"
    if text.startswith("<?xml"):
        return "an XML document", ""
    return ("JSON", "") if text[0] in "{[" else ("a text", "")


def _riff(data: bytes) -> str | None:
    return _RIFF.get(data[8:12]) if data.startswith(b"RIFF") else None


def _iso(data: bytes) -> str | None:
    """What a file of ISO boxes is, by its brands: those of AVIF before the general ones of HEIF."""
    if data[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"moof"):
        return _MP4
    if data[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(data[:4], "big"), _HEAD)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, size - 3, 4))]
    named = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if "AVIF" in named:
        return "AVIF"
    # HEIC's brands also stand among those of videos that only permit such pictures.
    return _BRANDS.get(brands[0], _MP4)
