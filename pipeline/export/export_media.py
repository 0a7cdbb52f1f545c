"""The media of exported rows: in the rows, in files beside them, or as references."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.export.export_config import MediaMode
from pipeline.export.labeled_example import Medium
from pipeline.media.media_store import MediaStore
from pipeline.pairs.pair_hash import Content, pair_hash
from pipeline.runtime.errors import RowRejected
from pipeline.store.object_store import Store
from schemas.labels import Reason

MEDIA_FOLDER = "media"
KINDS = ("images", "videos")
CHANGED = "media_changed"
NOT_A_FILE = "video_is_inline"  # the trainer takes paths of videos, and media are references

# The offset and bytes by which a kind of file is known.
_BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "png"),
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"GIF8", "gif"),
    (8, b"WEBP", "webp"),
    (0, b"BM", "bmp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (4, b"ftyp", "mp4"),
    (0, b"\x1aE\xdf\xa3", "webm"),
    (8, b"AVI ", "avi"),
)

Pair = Mapping[str, Any]


class MediaDropped(Exception):
    """A row cannot be exported because of its media.

    Attributes:
        reason: under which it is counted.
        detail: for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class MisjoinedError(Exception):
    """A row is not the one that its label is about."""


@dataclass(frozen=True)
class Shown:
    """The media of a prompt or a response as they are exported."""

    images: tuple[Medium, ...] = ()
    videos: tuple[Medium, ...] = ()


class ExportMedia:
    """Converts the media of rows to those of an export."""

    def __init__(
        self,
        output: Store,
        folder: str,
        roots: Sequence[str],
        max_bytes: int,
        modes: Mapping[str, MediaMode],
        paths_only: Collection[str] = (),
    ) -> None:
        """Reads below ``roots``, and writes files below ``folder``.

        Args:
            output: the output root.
            folder: the export's.
            roots: where paths may point, as when the pairs were judged.
            max_bytes: of a medium, likewise.
            modes: of each of ``KINDS`` that is exported; other kinds are left out.
            paths_only: the kinds that the trainer takes as paths only.
        """
        self._output, self._folder, self._modes = output, folder, modes
        self._paths_only = paths_only
        self._source = MediaStore(roots, max_bytes)

    def of_row(
        self, pair: Pair, responses: Sequence[Mapping[str, Any]], hashed: str
    ) -> tuple[Shown, list[Shown]]:
        """The media of a row's prompt and of each response.

        Args:
            pair: the row.
            responses: as they were judged.
            hashed: the hash of what was judged; media that are read from paths must match it.

        Raises:
            MediaDropped: one is missing, forbidden, too large, or changed since it was judged.
            StorageError: the store fails.
        """
        holders = [pair, *responses]
        contents = [self._content(holder) for holder in holders]
        if all(content is not None for content in contents):
            self._check(pair, responses, [c for c in contents if c is not None], holders, hashed)
        shown = [self._shown(*each) for each in zip(holders, contents, strict=True)]
        return shown[0], shown[1:]

    def _content(self, holder: Pair) -> Content | None:
        """The media of a prompt or a response as bytes; None if some are not to be read."""
        media = [(kind, each) for kind in KINDS for each in holder[kind] or ()]
        reads = {kind for kind, mode in self._modes.items() if mode != "references"}
        if any(kind not in reads and each["bytes"] is None for kind, each in media):
            return None
        found = {kind: tuple(self._fetch(each) for each in holder[kind] or ()) for kind in KINDS}
        return Content(None, **found)

    def _check(
        self,
        pair: Pair,
        responses: Sequence[Pair],
        contents: Sequence[Content],
        holders: Sequence[Pair],
        hashed: str,
    ) -> None:
        """Compares a row with what was judged, by its hash."""
        context, *of_responses = contents
        judged = [
            Content(response["text"], content.images, content.videos)
            for response, content in zip(responses, of_responses, strict=True)
        ]
        if pair_hash(pair, judged, context) == hashed:
            return
        if any(each["bytes"] is None for h in holders for kind in KINDS for each in h[kind] or ()):
            raise MediaDropped(CHANGED, "a medium changed since the pair was judged")
        raise MisjoinedError("its prompt, responses or media differ")

    def _fetch(self, medium: Mapping[str, Any] | None) -> bytes:
        if medium is None:
            raise MediaDropped(Reason.MEDIA_MISSING, "an entry is null")
        try:
            return self._source.fetch(medium)
        except RowRejected as error:
            raise MediaDropped(error.reason.value, error.detail) from error

    def _shown(self, holder: Pair, content: Content | None) -> Shown:
        found: dict[str, tuple[Medium, ...]] = {}
        for kind, mode in self._modes.items():
            if mode == "references":
                found[kind] = tuple(holder[kind] or ())
                if any(each["bytes"] is None and not each["path"] for each in found[kind]):
                    raise MediaDropped(Reason.MEDIA_MISSING, "a reference has no path")
                if kind in self._paths_only and not all(each["path"] for each in found[kind]):
                    raise MediaDropped(NOT_A_FILE, "the trainer takes videos as paths only")
                continue
            if content is None:
                data = tuple(self._fetch(each) for each in holder[kind] or ())
            else:
                data = getattr(content, kind)
            found[kind] = tuple(self._write(each, mode) for each in data)
        return Shown(**found)

    def _write(self, data: bytes, mode: MediaMode) -> Medium:
        if mode == "inline":
            return {"bytes": data, "path": None}
        name = hashlib.sha256(data).hexdigest()
        path = f"{MEDIA_FOLDER}/{name[:2]}/{name}.{_ending(data)}"
        key = f"{self._folder}/{path}"
        if self._output.size(key) != len(data):
            self._output.create(key, data)
        return {"bytes": None, "path": path}


def _ending(data: bytes) -> str:
    for start, beginning, ending in _BEGINNINGS:
        if data[start : start + len(beginning)] == beginning:
            return ending
    return "bin"
