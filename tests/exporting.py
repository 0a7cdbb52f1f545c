"""A corpus of pairs that is labelled by given votes and published, to export from: no engine."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.export import main
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.votes import Vote
from pipeline.labeling.pair_judge import _by_gold, label_row
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.snapshots.publish_snapshot import publish
from pipeline.store.object_store import Store
from pipeline.store.writer_lease import writer_lease
from schemas.manifest import Manifest
from tests.calibrations import scored
from tests.derivations import BROKEN, Labelled
from tests.publishing import QUIET, SMALL
from tests.shards import hash_of, pair, shard_bytes

Row = dict[str, Any]
Votes = list[Vote] | Literal["gold"] | None

FOR_A = [scored("ab", 9, 2), scored("ba", 9, 2)]
FOR_B = [scored("ab", 3, 8), scored("ba", 3, 8)]
TIE = [scored(order, 5, 5) for order in ("ab", "ba", "ab", "ba")]
TORN = [scored("ab", 9, 2), scored("ba", 2, 9)]  # abstained: each order says the opposite


@dataclass
class Corpus:
    """An input and an output of labels.

    Attributes:
        source: where the pairs are.
        pairs: the rows of every shard.
        labels: and their labels.
    """

    source: Store
    made: Labelled
    pairs: dict[str, list[Row]] = field(default_factory=dict)
    labels: dict[str, list[Row]] = field(default_factory=dict)

    @classmethod
    def at(cls, root: object, **judge: Any) -> Corpus:
        """An empty one, with a judge's card."""
        return cls(Store(f"{root}/pairs"), Labelled.at(f"{root}/labels", **judge))

    @property
    def output(self) -> Store:
        return self.made.output

    def shard(
        self, name: str, rows: list[Row], votes: Sequence[Votes], stored: bytes | None = None
    ) -> None:
        """Writes a shard and labels its rows by these votes; None is a row in quarantine.

        Args:
            name: of the shard.
            rows: as pairs v1.
            votes: of each row; ``gold`` of one whose label is its gold value.
            stored: the shard, where it holds the rows in foreign columns.
        """
        self.source.put(name, stored or shard_bytes(rows))
        (entry,) = self.source.list(name)
        key = shard_key(name, entry.size, self.source.content_key(entry))
        unit = Unit(name, key, 0, len(rows))
        labeler = Labeler.of(self.made.judge)
        labels = []
        for number, (row, cast) in enumerate(zip(rows, votes, strict=True)):
            where = {"shard": name, "unit": unit.name, "row": number}
            where |= {"judge_id": self.made.judge_id, "run_id": "run"}
            hashed = None if cast is None else hash_of(row, Path(self.source.uri))
            if cast == "gold":
                label = _by_gold(row, where, "candidate b is empty", str(hashed), labeler.policy_id)
            else:
                decision = BROKEN if cast is None else labeler.decide(cast)
                label = label_row(row, where, hashed, decision, cast or [], labeler.policy_id)
            labels.append(label)
        assert commit_part(self.output, self.made.judge_id, unit, labels)
        self.pairs[name], self.labels[name] = rows, labels

    def publish(self, **how: Any) -> Manifest:
        with writer_lease(self.output, "run", 60, QUIET) as lease:
            done = publish(self.source.uri, self.output, "", SMALL, QUIET, lease, **how)
        return done.manifest

    def joined(self) -> list[tuple[Row, Row]]:
        """Every pair with its label, in order."""
        return [
            (pair, label)
            for name in sorted(self.pairs)
            for pair, label in zip(self.pairs[name], self.labels[name], strict=True)
        ]

    def labelled(self, status: str = "labeled") -> list[tuple[Row, Row]]:
        """The pairs with such a label."""
        return [(pair, label) for pair, label in self.joined() if label["status"] == status]


@dataclass(frozen=True)
class Outcome:
    """How the job ended, with what it reported."""

    exit_code: int
    events: list[Row]
    error: str

    def event(self, name: str = "exported") -> Row:
        (found,) = (event for event in self.events if event["event"] == name)
        return found


def run_export(output: Store | None, *arguments: str) -> Outcome:
    """``python -m jobs.export`` in this process."""
    where = ["--output", output.uri] if output else []
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        exit_code = main([*where, *arguments])
    events = [json.loads(line) for line in stdout.getvalue().splitlines()]
    return Outcome(exit_code, events, stderr.getvalue())


def folder_of(done: Outcome, output: Store) -> str:
    """The key of the folder of what was exported."""
    assert done.error == ""
    return str(done.event()["folder"]).removeprefix(f"{output.uri}/")


def settings(**values: Any) -> list[str]:
    """``export`` settings as arguments; ``a__b=1`` sets ``export.a.b``."""
    pairs = ((name.replace("__", "."), value) for name, value in values.items())
    return [
        word for name, value in pairs for word in ("--set", f"export.{name}={json.dumps(value)}")
    ]


def export_rows(output: Store, folder: str, split: str = "*", tier: str = "") -> list[Row]:
    """The rows of an export by its own list of files, in order."""
    record = json.loads(output.read(f"{folder}/export.json"))
    rows: list[Row] = []
    for file in record["files"]:
        data = output.read(f"{folder}/{file['path']}")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
        if split not in ("*", file["split"]) or tier != file["tier"]:
            continue
        if file["path"].endswith(".jsonl"):
            found = [json.loads(line) for line in data.decode().splitlines()]
        else:
            found = pq.read_table(pa.BufferReader(data)).to_pylist()
        assert len(found) == file["rows"]
        rows += found
    return rows


CAST = [FOR_A, FOR_B, TIE, TORN, None]


def fill(made: Corpus) -> Corpus:
    """Three shards of rows with a picture each, with all kinds of labels; published."""
    for name, first, count in (
        ("a.parquet", 0, 40),
        ("sub/b.parquet", 40, 23),
        ("z.parquet", 9, 7),
    ):
        rows = [pair(number, pair_id=f"{name}-{number}") for number in range(first, first + count)]
        made.shard(name, rows, [CAST[number % 5] for number in range(count)])
    made.publish()
    return made


def dpo_row(row: Row, label: Row) -> Row:
    """What TRL must get of a labeled pair."""
    better, worse = ("a", "b") if label["preference"] == "a" else ("b", "a")
    scores = {"a": [9.0, 3.0], "b": [2.0, 8.0]}
    number = 0 if better == "a" else 1
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row[f"response_{better}"]["text"]}],
        "rejected": [{"role": "assistant", "content": row[f"response_{worse}"]["text"]}],
        "images": row["images"],
        "pair_id": row["pair_id"],
        "confidence": label["confidence"],
        "margin": scores[better][number] - scores[worse][number],
    }


def by_id(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["pair_id"]))


def texts(number: int, **more: Any) -> Row:
    """A pair without pictures."""
    return pair(number, images=None, **more)
