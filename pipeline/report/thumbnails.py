"""Thumbnails of a pair's pictures and videos, as data URIs; where there is none, why not."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.media.decoder import MediaDecoder
from pipeline.media.media_config import MediaConfig
from pipeline.media.media_store import MediaStore
from pipeline.pairs.contents import Part
from pipeline.report.report_config import GalleryConfig
from pipeline.runtime.errors import RowRejected, StorageError

_QUALITY = 75
_DETAIL = 300
_NAMES = {"image": "picture", "video": "video"}


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the report.

    Attributes:
        alt: what it is, for those who do not see it.
        source: a data URI, or None.
        missing: why there is no picture.
    """

    alt: str
    source: str | None = None
    missing: str = ""
    width: int = 0
    height: int = 0


class Thumbnails:
    """Makes thumbnails, as long as the bytes last that all of them together may have."""

    def __init__(self, media: MediaStore, limits: MediaConfig, config: GalleryConfig) -> None:
        """Reads what ``media`` allows to read, within the judge's ``limits``."""
        self._media, self._config, self._decoder = media, config, MediaDecoder(limits)
        self._left = config.pictures_kb * 1_024

    def of(self, parts: Sequence[Part], what: str) -> list[Thumbnail]:
        """The pictures and videos among the parts of a prompt or a response, in order.

        Args:
            parts: of its contents.
            what: whose they are, for their descriptions.
        """
        media = [(_NAMES[p["type"]], p[p["type"]]) for p in parts if p["type"] in _NAMES]
        most = self._config.pictures_a_row
        made = []
        for number, (kind, reference) in enumerate(media[:most], 1):
            alt = f"{kind} {number} of {len(media)} of {what}"
            if kind == "video":
                alt += ", its first frame"
            made.append(self._thumbnail(kind, reference, alt))
        if len(media) > most:
            made.append(Thumbnail("", missing=f"and {len(media) - most} more"))
        return made

    def _thumbnail(self, kind: str, reference: Mapping[str, Any] | None, alt: str) -> Thumbnail:
        if self._left <= 0:
            return Thumbnail(alt, missing="left out: the report has its share of pictures")
        try:
            data = self._media.fetch(reference or {"bytes": None, "path": None})
            side = self._config.picture_px
            image = self._decoder.thumbnail(data, side, video=kind == "video")
        except (RowRejected, StorageError) as error:
            return Thumbnail(alt, missing=str(error)[:_DETAIL])
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=_QUALITY)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        self._left -= len(encoded)
        return Thumbnail(alt, f"data:image/webp;base64,{encoded}", "", image.width, image.height)
