"""The media of exported rows: in the rows, in files beside them, or as references."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from pipeline.export.export_config import MediaMode
from pipeline.export.labeled_example import Medium
from pipeline.judging.row_rubrics import asked_hash, stored_rubric
from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_config import MediaConfig
from pipeline.media.media_store import MediaStore
from pipeline.media.signatures import HEIC_FORMATS, picture_format
from pipeline.pairs.contents import Part
from pipeline.pairs.pair_hash import Piece, pair_hash
from pipeline.runtime.errors import RowRejected
from pipeline.store.object_store import Store
from schemas.labels import Reason

MEDIA_FOLDER = "media"
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
    (8, b"avi", "avif"),
    (4, b"ftyp", "mp4"),
    (0, b"\x1aE\xdf\xa3", "webm"),
    (8, b"AVI ", "avi"),
)

_AS_IT_IS = MediaConfig(factor=1, min_pixels=1, max_pixels=MediaConfig().max_decoded_pixels)

Got = TypeVar("Got")
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


class ExportMedia:
    """Converts the media of rows to those of an export.

    Attributes:
        paths: of the files beside the rows that they were written to, in the export's folder.
    """

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
            modes: of each kind that is exported (``image``, ``video``); others are left out.
            paths_only: the kinds that the trainer takes as paths only.
        """
        self.paths: set[str] = set()
        self._output, self._folder, self._modes = output, folder, modes
        self._paths_only = paths_only
        self._source = MediaStore(roots, max_bytes)
        self._decoder = MediaDecoder(_AS_IT_IS)
        self._read: dict[int, bytes] = {}  # of the row at hand, by the identity of their parts

    def of_row(
        self, pair: Pair, hashed: str, rubric: str | None = None
    ) -> tuple[list[list[Part]], list[list[Part]]]:
        """The contents of a row's messages and of its candidates, media as they are exported.

        Args:
            pair: the row.
            hashed: the hash of what was judged; media that are read from paths must match it.
            rubric: the row's own, as its label stores it.

        Raises:
            MediaDropped: one is missing, forbidden, too large, or changed since it was judged.
            StorageError: the store fails.
        """
        self._read = {}
        asked = [each["content"] for each in pair["messages"]]
        answers = [(each and each["content"]) or [] for each in pair["candidates"]]
        parts = [part for content in (*asked, *answers) for part in content]
        media = [part for part in parts if part["type"] != "text"]
        if any(part[part["type"]] is None for part in media):
            raise MediaDropped(Reason.MEDIA_MISSING, "an entry is null")
        if not any(self._left(part) and part[part["type"]]["bytes"] is None for part in media):
            fetched = [[self._piece(part) for part in content] for content in (*asked, *answers)]
            questions, replies = fetched[: len(asked)], fetched[len(asked) :]
            own = None if rubric is None else stored_rubric(rubric)
            if asked_hash(pair_hash(pair, questions, replies), own) != hashed:
                if any(part[part["type"]]["bytes"] is None for part in media):
                    raise MediaDropped(CHANGED, "a medium changed since the pair was judged")
                raise MisjoinedError("its prompt, responses or media differ")
        return [self._shown(each) for each in asked], [self._shown(each) for each in answers]

    def _left(self, part: Part) -> bool:
        """Whether a medium stays where it is, and is not read."""
        return self._modes.get(part["type"], "references") == "references"

    def _piece(self, part: Part) -> Piece:
        kind = part["type"]
        return (kind, part["text"] or "") if kind == "text" else (kind, self._fetch(part))

    def _fetch(self, part: Part) -> bytes:
        if id(part) not in self._read:
            self._read[id(part)] = self._or_dropped(self._source.fetch, part[part["type"]])
        return self._read[id(part)]

    def _or_dropped(self, function: Callable[[Any], Got], value: Any) -> Got:
        try:
            return function(value)
        except RowRejected as error:
            raise MediaDropped(error.reason.value, error.detail) from error

    def _shown(self, content: Sequence[Part]) -> list[Part]:
        """A content without the media that are not exported."""
        return [
            part if part["type"] == "text" else part | {part["type"]: self._medium(part)}
            for part in content
            if part["type"] == "text" or part["type"] in self._modes
        ]

    def _medium(self, part: Part) -> Medium:
        kind: str = part["type"]
        medium: Medium = part[kind]
        mode = self._modes[kind]
        if mode != "references":
            return self._write(self._readable(self._fetch(part)), mode)
        if medium["bytes"] is None and not medium["path"]:
            raise MediaDropped(Reason.MEDIA_MISSING, "a reference has no path")
        if kind in self._paths_only and not medium["path"]:
            raise MediaDropped(NOT_A_FILE, "the trainer takes videos as paths only")
        return medium

    def _readable(self, data: bytes) -> bytes:
        """A medium as trainers read it: HEIC, which their libraries do not read, as PNG."""
        if picture_format(data) not in HEIC_FORMATS:
            return data
        image = self._or_dropped(self._decoder.image, data)
        made = io.BytesIO()
        image.save(made, "PNG")
        return made.getvalue()

    def _write(self, data: bytes, mode: MediaMode) -> Medium:
        if mode == "inline":
            return {"bytes": data, "path": None}
        name = hashlib.sha256(data).hexdigest()
        path = f"{MEDIA_FOLDER}/{name[:2]}/{name}.{_ending(data)}"
        key = f"{self._folder}/{path}"
        if self._output.size(key) != len(data):
            self._output.create(key, data)
        self.paths.add(path)
        return {"bytes": None, "path": path}


def _ending(data: bytes) -> str:
    for start, beginning, ending in _BEGINNINGS:
        if data[start : start + len(beginning)] == beginning:
            return ending
    return "bin"
