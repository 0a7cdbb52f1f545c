"""Media paths of ingested pairs: made relative to their folder, or replaced by the files' bytes."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.media.media_store import MediaStore
from pipeline.pairs.arrow_layouts import list_parts
from pipeline.runtime.errors import ConfigError, RowRejected
from pipeline.store.object_store import Store
from schemas.labels import Reason
from schemas.pairs import MEDIA, PAIRS, RESPONSE

_MOST_BYTES = 2**31 - 1  # of one medium: Arrow has no more in a column of binaries
_WEB = "a web address and no file: download it to {root} and name its path"
_CAUSES = {
    Reason.MEDIA_MISSING: "no such file in {root}",
    Reason.MEDIA_FORBIDDEN: "path leads out of {root}",
    Reason.MEDIA_UNSUPPORTED: "no regular file in {root}",
    Reason.MEDIA_TOO_LARGE: "a file of more than 2 GiB in {root}",
}


class MediaPaths:
    """Rewrites the media of pairs-v1 tables.

    Attributes:
        problems: how many media could not be read, by cause.
    """

    def __init__(self, root: str | None, inline: bool) -> None:
        """Binds to the folder that relative paths start at.

        Args:
            root: the folder's path or URI; None where the source has none.
            inline: read the files into ``bytes``.

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

    def apply(self, pairs: pa.Table) -> pa.Table:
        """The same pairs with their media rewritten; media that have bytes are left as they are.

        A file that cannot be inlined keeps its path and stays without bytes.
        """
        if self._store is None:
            return pairs
        batches = [
            pa.RecordBatch.from_arrays(
                [self._column(field, batch.column(field.name)) for field in PAIRS], schema=PAIRS
            )
            for batch in pairs.to_batches()
        ]
        return pa.Table.from_batches(batches, PAIRS)

    def _column(self, field: pa.Field, array: pa.Array) -> pa.Array:
        if field.name in ("images", "videos"):
            return self._media(array)
        if field.type == pa.list_(RESPONSE):
            offsets, values, empty = list_parts(array, field.name)
            return pa.ListArray.from_arrays(
                offsets, self._response(values), type=field.type, mask=empty
            )
        return self._response(array) if field.type == RESPONSE else array

    def _response(self, array: pa.Array) -> pa.Array:
        parts = [self._column(part, array.field(part.name)) for part in RESPONSE]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(parts, fields=list(RESPONSE), mask=mask)

    def _media(self, array: pa.Array) -> pa.Array:
        offsets, items, empty = list_parts(array, "media")
        encoded, paths = (
            pc.struct_field(items, "bytes"),
            self._relative(pc.struct_field(items, "path")),
        )
        if self._inline and pc.any(pc.and_(encoded.is_null(), paths.is_valid())).as_py():
            pairs = zip(encoded.to_pylist(), paths.to_pylist(), strict=True)
            encoded = pa.array([self._bytes(data, path) for data, path in pairs], pa.binary())
        missing = items.is_null() if items.null_count else None
        items = pa.StructArray.from_arrays([encoded, paths], fields=list(MEDIA), mask=missing)
        return pa.ListArray.from_arrays(offsets, items, type=array.type, mask=empty)

    def _relative(self, paths: pa.Array) -> pa.Array:
        """Paths under the root without it; any others as they are."""
        assert self._store is not None
        prefix = self._store.uri + "/"
        rest = pc.utf8_slice_codeunits(paths, len(prefix))
        return pc.if_else(pc.starts_with(paths, prefix), rest, paths)

    def _bytes(self, data: bytes | None, path: str | None) -> bytes | None:
        assert self._store is not None
        if data is not None or path is None:
            return data
        try:
            # Paths come from the data: nothing outside the folder may end up in a shard.
            return self._files.fetch({"bytes": None, "path": path})
        except RowRejected as refused:
            web = path.startswith(("http://", "https://"))
            cause = _WEB if web else _CAUSES.get(refused.reason, "cannot be read from {root}")
            self.problems[cause.format(root=self._store.uri)] += 1
            return None
