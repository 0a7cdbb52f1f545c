"""What a trainer format is: what it can hold, and how a labeled pair becomes its rows."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pyarrow as pa

from pipeline.export.export_config import MediaMode
from pipeline.export.labeled_example import Example

Holds = Literal["pairs", "scores", "rankings"]


@dataclass(frozen=True)
class Shape:
    """What the rows of an export have in common; decides its columns.

    Attributes:
        images, videos: whether any prompt has some.
        in_place: whether some stand elsewhere than before the user's first words.
        candidates: what the responses are: ``text``, ``image``, ``edit`` or ``video``.
        margin: whether the judge gives scores.
        media: how media are written.
        soft: whether rows have ``p_chosen``.
        criteria: whether the judge gives scores by criteria.
    """

    images: bool = False
    videos: bool = False
    in_place: bool = False
    candidates: str = "text"
    margin: bool = True
    media: MediaMode = "inline"
    soft: bool = False
    criteria: bool = False


@dataclass(frozen=True)
class Layout:
    """What an export's folder holds, for files beside the rows and the card.

    Attributes:
        files: of every tier and split, the paths of its files.
        smoothing: the label smoothing to train with, if any.
    """

    shape: Shape
    files: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    smoothing: float | None = None

    def of_split(self, split: str) -> list[str]:
        """The paths of all files of a split, whatever their tier."""
        return [path for (_, of), paths in self.files.items() if of == split for path in paths]


class TrainerFormat(abc.ABC):
    """A format.

    Attributes:
        name: as ``export.format`` names it.
        trainer: its name in texts for people.
        suffix: of its files: ``parquet`` or ``jsonl``.
        holds: pairs, scores of single responses, or rankings of sets.
        candidates: what responses may be made of.
        images, videos: whether it holds those of a prompt.
        media: the ways in which it takes them, the default first; none for text alone.
        inline_videos: whether videos may be in the rows; otherwise they are paths.
        ties: whether it holds pairs of which neither is better.
        soft: whether it can have a column ``p_chosen``.
        alternating: whether a prompt must begin with the user (or the system) and alternate.
        whole_folders: whether the trainer reads every file of a folder.
        label_columns: columns of the label that it needs besides those that all formats need.
    """

    name: ClassVar[str]
    trainer: ClassVar[str]
    suffix: ClassVar[str] = "parquet"
    holds: ClassVar[Holds] = "pairs"
    candidates: ClassVar[frozenset[str]] = frozenset({"text"})
    images: ClassVar[bool] = False
    videos: ClassVar[bool] = False
    media: ClassVar[tuple[MediaMode, ...]] = ()
    inline_videos: ClassVar[bool] = False
    ties: ClassVar[bool] = False
    soft: ClassVar[bool] = False
    alternating: ClassVar[bool] = False
    whole_folders: ClassVar[bool] = False
    label_columns: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def schema(self, shape: Shape) -> pa.Schema:
        """The columns of a file; for JSON lines, what its rows must fit."""

    @abc.abstractmethod
    def rows(self, example: Example, shape: Shape) -> list[dict[str, Any]]:
        """The trainer's rows of one labeled pair."""

    def path(self, tier: str, split: str, number: int) -> str:
        """Where the rows of a part are, under the export's folder."""
        return f"{tier and tier + '/'}{split}-{number:05d}.{self.suffix}"

    def beside(self, layout: Layout) -> dict[str, bytes]:
        """Further files that the trainer needs, by path."""
        return {}

    @abc.abstractmethod
    def usage(self, layout: Layout) -> str:
        """How to train with it, as Markdown."""
