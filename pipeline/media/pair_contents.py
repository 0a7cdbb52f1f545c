"""The contents of a pair with the bytes of its media, and the identity that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.media.media_store import MediaStore
from pipeline.pairs.contents import Part
from pipeline.pairs.pair_hash import Piece, pair_hash
from pipeline.pairs.prompts import cluster_of
from pipeline.runtime.errors import RowRejected
from schemas.labels import Reason


@dataclass(frozen=True)
class PairContents:
    """A pair whose media are fetched and not decoded.

    Attributes:
        asked: the contents of its messages.
        answers: those of its candidates.
    """

    row: Mapping[str, Any]
    asked: tuple[tuple[Piece, ...], ...]
    answers: tuple[tuple[Piece, ...], ...]

    @classmethod
    def of(cls, row: Mapping[str, Any], media: MediaStore) -> PairContents:
        """Fetches the media of a row of pairs v2.

        Raises:
            RowRejected: one is missing, forbidden or too large.
            StorageError: the store of the media fails.
        """
        asked = tuple(_fetched(each and each["content"], media) for each in row["messages"])
        answers = tuple(_fetched(each and each["content"], media) for each in row["candidates"])
        return cls(row, asked, answers)

    @property
    def pair_hash(self) -> str:
        """The identity of the pair."""
        return pair_hash(self.row, self.asked, self.answers)

    @property
    def cluster(self) -> str:
        """What pairs share that are alike (``pipeline.pairs.prompts``)."""
        return cluster_of(self.row["messages"], self.asked)


def _fetched(content: Sequence[Part] | None, media: MediaStore) -> tuple[Piece, ...]:
    return tuple(
        (part["type"], _fetch(part, media) if part["type"] != "text" else part["text"] or "")
        for part in content or ()
    )


def _fetch(part: Part, media: MediaStore) -> bytes:
    reference = part[part["type"]]
    if reference is None:
        raise RowRejected(
            Reason.MEDIA_MISSING, f"a null among {part['type']}s: neither bytes nor path"
        )
    return media.fetch(reference)
