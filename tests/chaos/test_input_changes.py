"""A shard of the input changes at any moment of a nightly run: between any two of its requests.

The night ends with what the shard was or with what it is then, whole; or with the one sentence and
the exit code of infra/OPS.md. Nothing of it is a label of another pair or a reason that is not
true, and the next night is as if nothing had happened.

Requests that do not concern the shard cannot tell when it changed: it changes before each one that
lists the input or reads the shard.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec.asyn
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error

from pipeline.report import report_page
from pipeline.report.gallery_source import Sample
from pipeline.snapshots.manifests import LATEST_KEY
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store import s3_objects
from pipeline.store.host import Host, OneProcess
from pipeline.store.object_store import Store
from tests.labeling import Outcome, Row, verdict_of, write_config
from tests.nights import run_nightly
from tests.publishing import latest_of, live_rows
from tests.shards import pair
from tests.simulator.memory_objects import MemoryObjects
from tests.simulator.simulated_store import BUCKET, SimulatedClient

NAME = "b.parquet"
_ROWS = [pair(n) for n in range(20, 29)]
_BESIDE = {"a.parquet": [pair(n) for n in range(3)]}
_LONG_AGO = 1_000_000_000
_SOME = 35  # of so many moments one, where not all are tried
# The texts of infra/OPS.md, by what is said of the end that they belong to.
_ENDS = {
    (0, ""): "whole",
    (5, f"/{NAME}: the shard was rewritten or removed during the run"): "changed during the run",
    (5, "was made, so that its labels may be of other rows:"): "changed since the snapshot",
    (4, "shards are unreadable"): "unreadable",
    (2, "no *.parquet"): "no shard",
}
_ALWAYS = {"whole", "changed during the run", "changed since the snapshot"}

Labels = frozenset[tuple[str, int, str, str, str | None]]


@dataclass(frozen=True)
class Change:
    """What becomes of a shard.

    Attributes:
        rows: that it has then.
        data: of its file; None where it is removed.
        beside: the shards beside it.
        first: how a night may end, too, in which it changes before the first request.
    """

    rows: list[Row]
    data: bytes | None
    beside: dict[str, list[Row]]
    first: str = "whole"


def encoded(rows: list[Row]) -> bytes:
    """A shard of few columns, of a size that their values do not change; gold is the verdict."""
    golds = [verdict_of(row) for row in rows]
    table = pa.table(
        {
            **{name: [row[name] for row in rows] for name in ("pair_id", "prompt")},
            **{n: [{"text": r[n]["text"]} for r in rows] for n in ("response_a", "response_b")},
            "gold": [preference or status for status, preference in golds],
        }
    )
    buffer = pa.BufferOutputStream()
    plain = {"compression": "NONE", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, buffer, row_group_size=4, **plain)
    return bytes(buffer.getvalue())


_REORDERED, _OTHERS = _ROWS[::-1], [pair(n) for n in range(40, 45)]
CHANGES = {
    "reordered": Change(_REORDERED, encoded(_REORDERED), _BESIDE),
    "replaced": Change(_OTHERS, encoded(_OTHERS), _BESIDE),
    "truncated": Change([], encoded(_ROWS)[: len(encoded(_ROWS)) // 2], _BESIDE, "unreadable"),
    "removed": Change([], None, _BESIDE),
    "removed alone": Change([], None, {}, "no shard"),
}


class Bucket(SimulatedClient):
    """A bucket of this process, whose requests do not fail."""

    def __init__(self, objects: MemoryObjects) -> None:
        self.world: Any = self  # what is used of both is here
        self.process: Any = self
        self.objects, self.name = objects, "test"
        self.loop = fsspec.asyn.get_loop()

    def _request(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except ClientError as error:
            raise translate_boto_error(error) from error


class Corpus:
    """An input in a bucket or a folder, and nights over it.

    Attributes:
        uri: of the input.
        objects: of the bucket.
        requests: so far, those that concern the shard that changes.
        shown: the samples of reports.
    """

    def __init__(self, kind: str, folder: Path, model: Path) -> None:
        changes = {
            "input": {"unit_rows": 2},
            "nightly": {"exports": [{"format": "jsonl", "validation": 0}]},
        }
        self._config = write_config(folder / "night.yaml", model, changes)
        self._outputs = folder / "out"
        self.objects = MemoryObjects()
        self.uri = f"s3://{BUCKET}/in" if kind == "bucket" else str(folder / "in")
        self._moment: tuple[int, Change | None] = (0, None)
        self.requests = 0
        self.shown: list[Sample] = []

    def begin(self, beside: dict[str, list[Row]]) -> None:
        """The input is as it was long ago."""
        for name, rows in {**beside, NAME: _ROWS}.items():
            self.put(name, encoded(rows))
            if "://" not in self.uri:
                os.utime(Path(self.uri, name), (_LONG_AGO, _LONG_AGO))

    def put(self, name: str, data: bytes | None) -> None:
        """Writes a shard, or removes it."""
        store = Store(self.uri)
        if data is None:
            store.delete(name)
        else:
            store.put(name, data)

    def request(self) -> None:
        """One is made that concerns the shard that changes."""
        self.requests += 1
        moment, change = self._moment
        if change is not None and self.requests == moment:
            self.put(NAME, change.data)

    def night(self, name: str, moment: int = 0, change: Change | None = None) -> Outcome:
        """A night, in which the shard changes before a request of this number."""
        self.requests, self._moment = 0, (moment, change)
        try:
            return run_nightly(self._config, self.uri, self._outputs / name)
        finally:
            self._moment = (0, None)

    def output(self, name: str) -> Store:
        return Store(str(self._outputs / name))


@pytest.fixture
def corpus(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_ray: None,
) -> Corpus:
    made = Corpus(request.param, tmp_path, model)
    monkeypatch.setattr(s3_objects, "Objects", lambda **how: Bucket(made.objects))
    monkeypatch.setattr(Host, "disposables", OneProcess.disposables)  # where requests are seen

    def seen(method: Callable[..., Any]) -> Callable[..., Any]:
        def asked(store: Store, at: Any = "", *more: Any) -> Any:
            if store.uri == made.uri and getattr(at, "key", at) in ("", NAME):
                made.request()
            return method(store, at, *more)

        return asked

    for name in ("list", "read_range", "content_key"):
        monkeypatch.setattr(Store, name, seen(getattr(Store, name)))

    def render(records: Any, state: Any, metrics: Any, sample: Sample, config: Any) -> str:
        made.shown.append(sample)
        return ""  # plots take as long as all the rest

    monkeypatch.setattr(report_page, "render", render)
    return made


def labels_of(rows: list[Row]) -> Labels:
    names = ("shard", "row", "pair_id", "status", "preference")
    return frozenset(tuple(row[name] for name in names) for row in rows)


def expected(rows: list[Row], beside: dict[str, list[Row]]) -> Labels:
    """The labels of an input whose shard that changes has these rows."""
    return frozenset(
        (name, number, row["pair_id"], *verdict_of(row))
        for name, of in {**beside, NAME: rows}.items()
        for number, row in enumerate(of)
    )


def assert_true(corpus: Corpus, output: Store, *whole: Labels) -> Labels:
    """Asserts that all that is stored or shown is of one of these inputs; returns live labels."""
    for entry in output.list("parts"):
        part = pq.read_table(pa.BufferReader(output.read(entry.key))).to_pylist()
        assert any(labels_of(part) <= each for each in whole), part
    for specimen in (each for sample in corpus.shown for each in sample.specimens):
        assert specimen.pair is None or specimen.pair["pair_id"] == specimen.label["pair_id"]
    corpus.shown.clear()
    if output.size(LATEST_KEY) is None:
        return frozenset()
    live = labels_of([*live_rows(output), *live_rows(output, "quarantine")])
    assert live in whole
    quality = read_quality(output, latest_of(output)["snapshot_id"])
    assert quality is not None
    assert quality.rates["gold_agreement_all"].value in (None, 1.0)
    exported = exported_of(output)
    assert exported is None or exported == trained_on(live)
    return live


def trained_on(live: Labels) -> Counter[str]:
    return Counter(pair_id for _, _, pair_id, status, _ in live if status == "labeled")


def exported_of(output: Store) -> Counter[str] | None:
    """The pairs that trainers get, each with the texts that belong to its id; None before that."""
    keys = [e.key for e in output.list(f"exports/{latest_of(output)['snapshot_id']}")]
    if not any(key.endswith("/export.json") for key in keys):
        return None
    files = [output.read(key) for key in keys if key.endswith(".jsonl")]
    rows = [json.loads(line) for file in files for line in file.splitlines()]
    for row in rows:
        number = row["pair_id"].partition("-")[2]
        assert row["prompt"][0]["content"] == f"What is in picture {number}?"
        assert row["chosen"].split()[1] == f"{number},"
    return Counter(row["pair_id"] for row in rows)


def end_of(outcome: Outcome) -> str:
    """What the table says of how a night ended."""
    code, said = outcome.exit_code, outcome.error
    found = [end for (of, text), end in _ENDS.items() if code == of and (text or said) in said]
    assert len(found) == 1, (code, said)
    assert said.startswith("error: ") == (code != 0), (code, said)
    return found[0] if code or not said else said


def try_moments(corpus: Corpus, kind: str, every: int) -> Counter[str]:
    """Nights in each of which the shard changes at another moment, and how they ended."""
    change, ends = CHANGES[kind], Counter[str]()
    before, after = expected(_ROWS, change.beside), expected(change.rows, change.beside)
    corpus.begin(change.beside)
    calm = corpus.night("calm")
    assert (calm.exit_code, calm.error) == (0, "")
    assert assert_true(corpus, corpus.output("calm"), before) == before
    for moment in range((every + 1) // 2, corpus.requests + 1, every):
        name = f"at-{moment}"
        corpus.begin(change.beside)
        end = end_of(corpus.night(name, moment, change))
        assert end in _ALWAYS or (moment == 1 and end == change.first), (moment, end)
        ends[end] += 1
        live = assert_true(corpus, corpus.output(name), before, after)
        assert live in {
            "whole": {before, after},
            "changed during the run": {before, frozenset()},
            "changed since the snapshot": {before},
        }.get(end, {frozenset()})
        assert end != "whole" or exported_of(corpus.output(name)) == trained_on(live)
        rows = change.rows
        if not rows and kind != "removed":  # nothing that a night could go on with
            rows = _OTHERS
            corpus.put(NAME, encoded(rows))
        following = corpus.night(name)
        assert (following.exit_code, following.error) == (0, ""), moment
        now = expected(rows, change.beside)
        assert assert_true(corpus, corpus.output(name), before, after, now) == now
        assert exported_of(corpus.output(name)) == trained_on(now)
    return ends


@pytest.mark.parametrize(
    ("corpus", "kind"), [("bucket", "reordered"), ("folder", "removed alone")], indirect=["corpus"]
)
def test_a_shard_changes_at_some_moments(corpus: Corpus, kind: str) -> None:
    assert try_moments(corpus, kind, _SOME)["changed during the run"] >= 1


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("corpus", ["bucket", "folder"], indirect=True)
@pytest.mark.parametrize("kind", CHANGES)
def test_a_shard_changes_at_every_moment(
    corpus: Corpus, kind: str, record_property: Callable[[str, object], None]
) -> None:
    ends = try_moments(corpus, kind, 1)
    record_property("ended", f"{kind}, {corpus.uri}: {dict(ends)}")
