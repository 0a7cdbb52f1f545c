"""Media paths of ingested pairs: made relative to their folder, or replaced by the files' bytes."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.media.inline_media import decode_text
from pipeline.media.media_store import MediaStore
from pipeline.pairs.arrow_layouts import list_parts, nulls
from pipeline.pairs.contents import KINDS, contents_of, media_of
from pipeline.runtime.errors import ConfigError, RowRejected
from pipeline.store.object_store import Store
from schemas.labels import Reason
from schemas.pairs import MEDIA, PAIRS_V2

_THREADS = 16
_MOST_BYTES = 2**31 - 1  # of one medium: Arrow has no more in a column of binaries
_WEB = "a web address and no file: download it to {root} and name its path"
_CAUSES = {
    Reason.MEDIA_MISSING: "no such file in {root}",
    Reason.MEDIA_FORBIDDEN: "path leads out of {root}",
    Reason.MEDIA_UNSUPPORTED: "no regular file in {root}",
    Reason.MEDIA_TOO_LARGE: "a file of more than 2 GiB in {root}",
}


class MediaPaths:
    """Rewrites the media of tables of pairs v2.

    Attributes:
        problems: how many media could not be read, by cause.
    """

    def __init__(self, root: str | None, inline: bool) -> None:
        """Binds to the folder that relative paths start at.

        Args:
            root: the folder's path or URI; None where the source has none.
            inline: read the files into ``bytes``; otherwise it is looked whether they are there.

        Raises:
            ConfigError: files are to be inlined, and there is no folder to read them from.
            StorageError: the root's scheme is not supported.
        """
        if inline and root is None:
            raise ConfigError("inline_media: set media_root to the folder that the paths start at")
        self.problems: Counter[str] = Counter()
        self._store = Store(root) if root is not None else None
        self._files = MediaStore([] if root is None else [root], _MOST_BYTES)
        self._inline = inline
        self._gone: dict[str, str] = {}  # why, by path, of the last rows

    def apply(self, pairs: pa.Table) -> pa.Table:
        """The same pairs with their media rewritten; media that have bytes are left as they are.

        A file that cannot be inlined keeps its path and stays without bytes.
        """
        self._gone = {}
        if self._store is None:
            return pairs
        batches = [
            pa.RecordBatch.from_arrays(
                [self._rewritten(batch.column(field.name)) for field in PAIRS_V2], schema=PAIRS_V2
            )
            for batch in pairs.to_batches()
        ]
        return pa.Table.from_batches(batches, PAIRS_V2)

    def with_missing(self, pairs: pa.Table, defects: pa.ChunkedArray) -> list[str | None]:
        """Each row's defect; that of one which has none is its first medium that is not there.

        Args:
            pairs: rows as ``apply`` last returned them.
            defects: what else is wrong with them, or null.
        """
        reasons: list[str | None] = defects.to_pylist()
        if self._gone:
            for row, pair in enumerate(pairs.to_pylist()):
                causes = (self._gone[path] for path in _unread(pair) if path in self._gone)
                reasons[row] = reasons[row] or next(causes, None)
        return reasons

    def _rewritten(self, array: pa.Array) -> pa.Array:
        """An array in which all media are rewritten."""
        kind = array.type
        if kind == MEDIA:
            return self._media(array)
        if pt.is_list(kind) and pt.is_struct(kind.value_type):
            offsets, values, empty = list_parts(array, "media")
            items = self._rewritten(values)
            return pa.ListArray.from_arrays(offsets, items, type=kind, mask=empty)
        if pt.is_struct(kind):
            parts = [self._rewritten(array.field(part.name)) for part in kind]
            return pa.StructArray.from_arrays(parts, fields=list(kind), mask=nulls(array))
        return array

    def _media(self, items: pa.Array) -> pa.Array:
        encoded, paths = items.field("bytes"), self._relative(items.field("path"))
        if not self._inline:
            self._note_those_gone(paths.filter(encoded.is_null()).drop_null().unique().to_pylist())
        elif pc.any(pc.and_(encoded.is_null(), paths.is_valid())).as_py():
            pairs = zip(encoded.to_pylist(), paths.to_pylist(), strict=True)
            encoded = pa.array([self._bytes(data, path) for data, path in pairs], pa.binary())
        return pa.StructArray.from_arrays([encoded, paths], fields=list(MEDIA), mask=nulls(items))

    def _relative(self, paths: pa.Array) -> pa.Array:
        """Paths under the root without it; any others as they are."""
        assert self._store is not None
        prefix = self._store.uri + "/"
        rest = pc.utf8_slice_codeunits(paths, len(prefix))
        return pc.if_else(pc.starts_with(paths, prefix), rest, paths)

    def _note_those_gone(self, paths: Sequence[str]) -> None:
        """Notes files of the folder that are not there; other paths may be in other media roots."""
        assert self._store is not None
        own = [path for path in paths if _is_of_folder(path)]
        with self._store.host.pool(_THREADS) as pool:
            for path, there in zip(own, pool.map(self._is_there, own), strict=True):
                if not there:
                    self._note(path, _CAUSES[Reason.MEDIA_MISSING])

    def _is_there(self, path: str) -> bool:
        try:
            self._files.find(path)
        except RowRejected as refused:
            return refused.reason != Reason.MEDIA_MISSING
        return True

    def _bytes(self, data: bytes | None, path: str | None) -> bytes | None:
        if data is not None or path is None:
            return data
        try:
            # Paths come from the data: nothing outside the folder may end up in a shard.
            return self._files.fetch({"bytes": None, "path": path})
        except RowRejected as refused:
            web = path.startswith(("http://", "https://"))
            self._note(path, _WEB if web else _CAUSES.get(refused.reason, "cannot be read"))
            return None

    def _note(self, path: str, cause: str) -> None:
        assert self._store is not None
        self._gone[path] = cause.format(root=self._store.uri)
        self.problems[self._gone[path]] += 1


def _is_of_folder(path: str) -> bool:
    """Whether a text is a relative path, and leads to something in the folder it starts at."""
    key = posixpath.normpath(path)
    elsewhere = ":" in path.partition("/")[0] or key.startswith(("/", "../"))
    inline = decode_text(path.encode(errors="surrogateescape")) is not None
    return not elsewhere and key not in (".", "..") and not inline


def _unread(pair: dict[str, Any]) -> Iterator[str]:
    """Paths of a pair's media that have no bytes."""
    parts = [part for content in contents_of(pair) for part in content]
    for medium in (medium for kind in KINDS for medium in media_of(parts, kind)):
        if medium and medium["bytes"] is None and medium["path"] is not None:
            yield medium["path"]
