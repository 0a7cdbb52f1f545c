"""What publishing costs where little changed: bytes read and written, and labels a second.

Measured on real files of a local folder: shards and parts are made up, publishing is that of
``pairmill publish``, and its gate measures with people's answers in the input.
"""

from __future__ import annotations

import random
import shutil
import string
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.aggregation.decisions import Decision
from pipeline.aggregation.labeler import Labeler
from pipeline.judging.judge_cards import judge_card, write_card
from pipeline.judging.judge_config import JudgeConfig
from pipeline.judging.judge_identity import ModelVersion
from pipeline.judging.votes import Vote
from pipeline.labeling.pair_judge import label_row
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.pair_hash import Content, v1_hash
from pipeline.pairs.shards import shard_key
from pipeline.parts.commit import commit_part
from pipeline.parts.units import Unit
from pipeline.runtime.reporter import Reporter
from pipeline.snapshots.gate import gate_for
from pipeline.snapshots.gate_checks import GateConfig
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.snapshots.publish_snapshot import publish
from pipeline.snapshots.quality.snapshot_counts import QualityConfig
from pipeline.store.object_store import Entry, Store
from pipeline.store.uploads import Upload
from pipeline.store.writer_lease import writer_lease
from schemas.labels import VERDICT
from schemas.manifest import Manifest

_JUDGE = JudgeConfig()
_VOTES = (2, 2, 2, 4)  # of a row, by chance
_RATIONALE = 400  # characters
_GOLD = ("a", "b", "tie", *[None] * 7)
_MiB = 2**20
_DISTINCT = 2_000  # rows of a large corpus with votes of their own


class CountingStore(Store):
    """Counts the bytes that go in and out, parts and shards that are hashed included."""

    def __init__(self, uri: str) -> None:
        """Binds to a URI."""
        super().__init__(uri)
        self.bytes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, what: str, size: int) -> None:
        """Counts bytes."""
        with self._lock:
            self.bytes[what] += size

    def read(self, key: str) -> bytes:
        data = super().read(key)
        self.count("read", len(data))
        return data

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        self.count("read", stop - start)
        return super().read_range(key, start, stop)

    def read_into(self, key: str, start: int, memory: memoryview) -> int:
        self.count("read", len(memory))
        return super().read_into(key, start, memory)

    def content_key(self, entry: Entry) -> str:
        self.count("read", entry.size)
        return super().content_key(entry)

    def put(self, key: str, data: bytes) -> None:
        self.count("written", len(data))
        super().put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        self.count("written", len(data))
        return super().create(key, data)

    def upload(self, key: str, *, hashed: bool = False) -> Upload:
        upload, commit = super().upload(key, hashed=hashed), Upload.commit

        def counted() -> None:
            self.count("written", upload.tell())
            commit(upload)

        upload.commit = counted  # type: ignore[method-assign]
        return upload


@dataclass
class _Corpus:
    """Shards of made-up pairs and the parts of a judge that has labelled them.

    Attributes:
        distinct: so many rows have votes of their own; those behind them repeat some of these,
            which takes a tenth of the time to make.
    """

    source: CountingStore
    output: CountingStore
    judge_id: str
    chance: random.Random
    distinct: int = sys.maxsize
    judged: list[tuple[list[Vote], Decision]] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path, distinct: int = sys.maxsize) -> _Corpus:
        output = CountingStore(str(folder / "labels"))
        card = judge_card(_JUDGE, ModelVersion.named("none"), "scripted")
        write_card(output, card)
        source = CountingStore(str(folder / "pairs"))
        return cls(source, output, card["judge_id"], random.Random(1), distinct)

    def shard(self, number: int, rows: int) -> None:
        """Writes a shard, in place of the one before, and its labels."""
        name, buffer = f"{number:07d}.parquet", pa.BufferOutputStream()
        ids = [f"{number}-{self.chance.random()}" for _ in range(rows)]
        pairs: dict[str, list[Any]] = {
            "pair_id": ids,
            "prompt": [f"Which is better, {each}?" for each in ids],
            "response_a": [{"text": self.chance.randint(1, 400) * "a"} for _ in ids],
            "response_b": [{"text": self.chance.randint(1, 400) * "b"} for _ in ids],
            "gold": [self.chance.choice(_GOLD) for _ in ids],
        }
        pq.write_table(pa.table(pairs), buffer)
        self.source.put(name, bytes(buffer.getvalue()))
        (entry,) = self.source.list(name)
        key = shard_key(name, entry.size, self.source.content_key(entry))
        labeler = Labeler.of(_JUDGE)
        made = []
        for row, pair_id in enumerate(ids):
            votes, decision = self._judged(labeler)
            where = {"shard": name, "unit": "", "row": row, "judge_id": self.judge_id}
            texts = (pairs["prompt"][row], pairs["response_a"][row], pairs["response_b"][row])
            hashed, stamp = _pair_hash(*texts), where | {"run_id": "bench"}
            made.append(
                label_row({"pair_id": pair_id}, stamp, hashed, decision, votes, labeler.policy_id)
            )
        commit_part(self.output, self.judge_id, Unit(name, key, 0, rows), made)

    def _judged(self, labeler: Labeler) -> tuple[list[Vote], Decision]:
        if len(self.judged) == self.distinct:
            return self.chance.choice(self.judged)
        votes = self._votes()
        made = votes, labeler.decide(votes)
        if self.distinct < sys.maxsize:
            self.judged.append(made)
        return made

    def _votes(self) -> list[Vote]:
        lean, chance = self.chance.gauss(0, 1.5), self.chance
        orders = ("ab", "ba") * (chance.choice(_VOTES) // 2)

        def score(mean: float) -> float:
            return float(min(10, max(1, round(chance.gauss(mean, 1.2)))))

        return [
            Vote(
                order=order,
                seed=chance.randrange(2**31),
                outcome=VERDICT,
                scores=(score(5.5 + lean), score(5.5 - lean)),
                finish_reason="stop",
                rationale="".join(chance.choices(string.ascii_lowercase + "    ", k=_RATIONALE)),
                prompt_tokens=900,
                output_tokens=150,
            )
            for order in orders
        ]

    def publish(self) -> dict[str, Any]:
        """Publishes; returns what that cost."""
        for store in (self.source, self.output):
            store.bytes.clear()
        reporter, gate = Reporter(), _TimedGate()
        with writer_lease(self.output, "bench", 60, reporter) as lease:
            began, cpu = time.monotonic(), time.process_time()
            config = PublishConfig()
            done = publish(self.source.uri, self.output, "", config, reporter, lease, gate=gate)
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        read = self.source.bytes["read"] + self.output.bytes["read"]
        return {
            "seconds": round(seconds, 2),
            "cpu_s": round(cpu, 2),
            "labels_per_s": round(done.manifest.rows / seconds),
            "read_mb": round(read / _MiB, 2),
            "written_mb": round(self.output.bytes["written"] / _MiB, 2),
            "files": len(done.manifest.files),
            "snapshot_mb": round(done.manifest.total_bytes / _MiB, 2),
            "gate_s": round(gate.seconds, 2),
            "gate_read_mb": round(gate.read / _MiB, 2),
        }


def _pair_hash(prompt: str, a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """That of a pair of texts, by which an export knows what was labelled."""
    candidates = [Content(each["text"]).hashed() for each in (a, b)]
    return v1_hash({"prompt": prompt, "messages": None}, candidates, Content(None))


class _TimedGate:
    """A gate that measures, and what that costs.

    Attributes:
        read: bytes of the output; those of the input are not counted.
    """

    def __init__(self) -> None:
        self.seconds, self.read = 0.0, 0
        self._gate = gate_for(GateConfig(), QualityConfig(), InputConfig())

    def __call__(self, output: Store, manifest: Manifest) -> Mapping[str, Any]:
        """Decides as the gate does."""
        assert isinstance(output, CountingStore)
        began, before = time.monotonic(), output.bytes["read"]
        decision = self._gate(output, manifest)
        self.seconds, self.read = time.monotonic() - began, output.bytes["read"] - before
        return decision


def bench_publish(folder: Path, shards: int, rows: int, changed: int) -> dict[str, Any]:
    """Publishes a corpus, then again with some scattered shards rewritten, then as it is.

    Args:
        folder: an empty one, for shards and output.
        shards: of the corpus.
        rows: of each shard.
        changed: how many are rewritten.
    """
    corpus = _Corpus.at(folder)
    for number in range(shards):
        corpus.shard(number, rows)
    first = corpus.publish()
    for number in range(changed):
        corpus.shard(number * shards // changed, rows)
    again, nothing = corpus.publish(), corpus.publish()
    share = again["written_mb"] / first["written_mb"]
    return {
        "shards": shards,
        "rows": shards * rows,
        "rewritten": changed,
        "share_written": round(share, 4),
        "first": first,
        "then": again,
        "nothing_changed": nothing,
    }


def write_corpus(folder: Path, shards: int, rows: int) -> None:
    """Writes shards of so many rows each and their labels, for `publish_corpus`."""
    corpus = _Corpus.at(folder, _DISTINCT)
    for number in range(shards):
        corpus.shard(number, rows)


def publish_corpus(folder: Path) -> dict[str, Any]:
    """Publishes a corpus for the first time; returns what that cost."""
    shutil.rmtree(folder / "labels" / "snapshots", ignore_errors=True)
    return _Corpus.at(folder).publish()
