"""A benchmark: the mapping of its columns into pairs v1, its categories and extra measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from pipeline.aggregation.judged_pairs import JudgedPair
from pipeline.evaluation.benchmarks.published import Published, Setting
from pipeline.judging.bundle_files import load_bundle
from pipeline.judging.judge_config import CandidateKind, JudgeConfig
from pipeline.runtime.errors import ConfigError
from pipeline.stats.bootstrap import Statistic

Row = Mapping[str, Any]


@dataclass(frozen=True)
class BenchmarkPart:
    """One table of a benchmark.

    Attributes:
        name: names its shards.
        split: of the hub set.
        config: of the hub set.
        hints: words in the names of its local files or of their folders.
    """

    name: str
    split: str = "test"
    config: str | None = None
    hints: tuple[str, ...] = ()


def _as_it_is(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    return table


def _no_category(pair: Row) -> tuple[str, ...]:
    return ()


def _nothing(rows: Sequence[JudgedPair]) -> dict[str, Statistic]:
    return {}


@dataclass(frozen=True)
class Benchmark:
    """A public set with a human's judgements.

    Attributes:
        name: as given on the command line.
        title: the name in reports.
        hub_id: the hub set that it is loaded from; None where it is only published as files.
        parts: its tables.
        required: the columns that must be there.
        columns: the mapping into pairs v1, given the columns there are.
        about, candidates: the judges that it can measure.
        options: whether a judge that chooses options measures what was published.
        split_names: other names of its splits: what the data call it, by what people may.
        renames: columns that another release of the set calls differently: new name by old.
        prepare: changes each table before it is mapped, where the mapping alone cannot.
        inline: whether media files are read into the shards (not videos: many rows share one).
        categories: the categories of a pair, widest first.
        extra: further measures of judged pairs.
        published: results shown beside the measured ones.
        setting: how these were obtained.
    """

    name: str
    title: str
    parts: tuple[BenchmarkPart, ...]
    required: tuple[str, ...]
    columns: Callable[[frozenset[str], BenchmarkPart], dict[str, Any]]
    hub_id: str | None = None
    about: Literal["pair", "ranking", "score"] = "pair"
    options: bool = False
    candidates: CandidateKind = "text"
    split_names: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[pa.Table, BenchmarkPart], pa.Table] = _as_it_is
    inline: bool = True
    categories: Callable[[Row], tuple[str, ...]] = _no_category
    extra: Callable[[Sequence[JudgedPair]], dict[str, Statistic]] = _nothing
    published: tuple[Published, ...] = ()
    setting: Setting = field(default_factory=Setting)

    def check_judge(self, judge: JudgeConfig) -> None:
        """Refuses a judge of another format or kind of candidates.

        Raises:
            ConfigError: with the settings to change.
        """
        formats = load_bundle(judge.bundle).formats.values()
        able = [each for each in formats if each.about == self.about]
        able.sort(key=lambda each: self.options and each.scores)
        names = [each.name for each in able]
        if judge.format in names and judge.candidates == self.candidates:
            return
        if not names:
            raise ConfigError(
                f"{self.name} measures judges of the family {self.about}, of which judge.bundle "
                "has no format; choose another bundle"
            )
        format_ = judge.format if judge.format in names else names[0]
        settings = {"judge.format": format_, "judge.candidates": self.candidates}
        given = " ".join(f"--set {key}={value}" for key, value in settings.items())
        raise ConfigError(
            f"{self.name} measures judges of format {' or '.join(names)} about "
            f"{self.candidates} candidates; the configuration has format {judge.format} about "
            f"{judge.candidates} candidates: evaluate with {given}"
        )


def optional(names: frozenset[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The entries of a mapping whose columns are there."""
    return {key: column for key, column in columns.items() if column in names}


def metadata_of(names: frozenset[str], *columns: str) -> dict[str, Any]:
    """The metadata source made of those columns that are there; none if none is."""
    found = optional(names, {name: name for name in columns})
    return {"metadata": {"fields": found}} if found else {}
