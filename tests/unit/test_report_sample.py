"""The sample of a report: read from the right places, every kind in turn, and little of it all."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from pipeline.judging.votes import Vote
from pipeline.media.media_config import MediaConfig
from pipeline.media.media_store import MediaStore
from pipeline.pairs.contents import media_part
from pipeline.pairs.input_config import InputConfig
from pipeline.report.gallery_source import Sample, draw_sample
from pipeline.report.label_rows import SnapshotRows
from pipeline.report.report_config import GalleryConfig, ReportConfig
from pipeline.report.run_records import read_records
from pipeline.report.thumbnails import Thumbnails
from pipeline.report.write_report import write_report
from pipeline.snapshots.publish_config import PublishConfig
from pipeline.store.host import Host, OneProcess
from pipeline.store.object_store import Store
from pipeline.store.source_file import SourceFile
from tests.measuring import (
    Corpus,
    put,
    random_corpus,
    random_pairs,
    random_votes,
    ranking,
    text_pair,
)
from tests.publishing import QUIET, live_rows
from tests.shards import pair, picture, response

KINDS = {"labeled", "tie", "abstained", "quarantined"}


def sample(corpus: Corpus, run_id: str = "run", **config: int) -> Sample:
    records = read_records(corpus.output, None, run_id, None, 2)
    return draw_sample(records, InputConfig(), GalleryConfig(**config))


def places(drawn: Sample) -> list[tuple[str, int]]:
    return [(s.label["shard"], s.label["row"]) for s in drawn.specimens]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three shards whose tables take several files each."""
    made = random_corpus(str(tmp_path_factory.mktemp("sample")))
    tiny = PublishConfig(file_mb=0.004, row_group_mb=0.004)
    manifest = made.publish(tiny).manifest
    assert min(len(manifest.files_of(table)) for table in ("labels", "votes")) > 1
    return made


def test_rows_and_votes_of_a_shard_are_found_in_many_files(published: Corpus) -> None:
    output = published.output
    manifest = read_records(output, None, "run", None, 2).manifest
    assert manifest is not None
    labels = SnapshotRows(output, manifest)
    every = [*live_rows(output), *live_rows(output, "quarantine")]
    for shard in manifest.shards:
        for start, stop in ((0, shard.rows), (5, 23), (shard.rows, shard.rows + 9)):
            of_shard = [row for row in every if row["shard"] == shard.path]
            expected = [row for row in of_shard if start <= row["row"] < stop]
            expected.sort(key=lambda row: int(row["row"]))
            assert labels.rows(shard.path, shard.shard_key, start, stop) == expected
            rows = [row["row"] for row in expected[::3]]
            votes = labels.votes(shard.path, shard.shard_key, rows)
            for row in rows:
                found = published.shards[shard.path][row]["votes"]
                assert [v["rationale"] for v in votes.get(row, [])] == [
                    v["rationale"] for v in found
                ]
    assert labels.rows("no such shard", "", 0, 9) == []


def test_every_kind_gets_its_turn_and_the_same_ones_again(published: Corpus) -> None:
    drawn = sample(published, pairs=14)
    assert len(drawn.specimens) == 14
    assert {s.label["status"] for s in drawn.specimens} == KINDS
    assert places(drawn) == places(sample(published, pairs=14))
    for specimen in drawn.specimens:
        assert specimen.pair is not None
        pair = published.pairs[specimen.label["shard"]][specimen.label["row"]]
        assert specimen.pair["pair_id"] == pair["pair_id"]
    assert sample(published, pairs=0).specimens == ()
    assert len(sample(published, pairs=1_000).specimens) == 90 + 61 + 3


def test_little_of_a_large_corpus_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, rng = Corpus.at(str(tmp_path)), random.Random(2)
    for number in range(30):
        corpus.write(f"{number:02d}.parquet", random_pairs(rng, 4), random_votes(rng, 4))
    corpus.publish()
    opened: list[str] = []
    plain = Store.open

    def open_(store: Store, key: str, size: int) -> SourceFile:
        if store.uri == corpus.source.uri:
            opened.append(key)
        return plain(store, key, size)

    monkeypatch.setattr(Store, "open", open_)
    monkeypatch.setattr(Host, "disposables", OneProcess.disposables)  # where it can be seen
    drawn = sample(corpus, shards=3)
    assert len(drawn.specimens) == 12
    assert sorted(set(opened)) == sorted({shard for shard, _ in places(drawn)})
    assert len(set(opened)) == 3


def test_what_is_not_published_is_drawn_from_parts(tmp_path: Path) -> None:
    corpus = Corpus.at(str(tmp_path))
    pairs = [text_pair(n, None, "a", "b") for n in range(6)]
    corpus.write("s.parquet", pairs, random_votes(random.Random(1), 6))
    corpus.write("unlabelled.parquet", pairs, [])
    run = {"judge_id": corpus.made.judge_id, "input": corpus.source.uri, "pairs": 6}
    corpus.output.put("runs/r/run.json", json.dumps(run).encode())
    records = read_records(corpus.output, None, "r", None, 2)
    assert (records.manifest, records.judge_id) == (None, corpus.made.judge_id)
    drawn = sample(corpus, "r")
    assert places(drawn) == [("s.parquet", n) for n in range(6)]
    for specimen, row in zip(drawn.specimens, corpus.shards["s.parquet"], strict=True):
        assert specimen.label == row | {"part_revision": 1}


def test_a_shard_that_is_another_one_now_shows_labels_alone(tmp_path: Path) -> None:
    corpus = Corpus.at(str(tmp_path))
    pairs = [text_pair(n, None, "a", "b") for n in range(3)]
    corpus.write("s.parquet", pairs, random_votes(random.Random(1), 3))
    corpus.publish()
    corpus.write("s.parquet", pairs[:2], [])
    drawn = sample(corpus)
    assert [s.pair for s in drawn.specimens] == [None] * 3
    assert {s.problem for s in drawn.specimens} == {"the shard was rewritten since it was labelled"}


def test_a_shard_that_is_rewritten_while_it_is_drawn_from_shows_labels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, read = Corpus.at(str(tmp_path)), Store.read_range
    pairs = [text_pair(n, None, "a", "b") for n in range(3)]
    corpus.write("s.parquet", pairs, random_votes(random.Random(1), 3))
    corpus.publish()

    def rewritten(store: Store, key: str, start: int, stop: int) -> bytes:
        if key == "s.parquet":
            put(store, key, pairs[::-1])
        return read(store, key, start, stop)

    monkeypatch.setattr(Host, "disposables", OneProcess.disposables)
    monkeypatch.setattr(Store, "read_range", rewritten)
    drawn = sample(corpus)
    assert [(s.pair, s.problem) for s in drawn.specimens] == [
        (None, "the shard was rewritten since it was labelled")
    ] * 3


def test_thumbnails_are_small_and_end_where_their_share_does(tmp_path: Path) -> None:
    media, limits = MediaStore([str(tmp_path)], 10_000_000), MediaConfig()
    row = [media_part("image", {"bytes": picture(1, (840, 280)), "path": None})] * 3
    config = GalleryConfig(picture_px=90, pictures_a_row=2)
    first, second, more = Thumbnails(media, limits, config).of(row, "the prompt")
    assert (first.alt, first.width, first.height) == ("picture 1 of 3 of the prompt", 90, 30)
    assert second.source == first.source
    assert more.missing == "and 1 more"
    assert first.source is not None
    image = Image.open(io.BytesIO(base64.b64decode(first.source.partition(",")[2])))
    assert (image.format, image.size) == ("WEBP", (90, 30))
    none = config.model_copy(update={"pictures_kb": 0})
    assert [t.source for t in Thumbnails(media, limits, none).of(row, "x")] == [None] * 3
    gone = [media_part("image", {"bytes": None, "path": "gone.png"})]
    (missing,) = Thumbnails(media, limits, config).of(gone, "x")
    assert "gone.png does not exist" in missing.missing


@pytest.mark.parametrize(
    ("judge_format", "cast", "expected"),
    [
        ("batch_ranking", [ranking(("abc", "cba"), 9, 2, 4), None], ["9", "2", "4"]),
        ("single_score", [ranking(("a",), 7), None], ["7"]),
    ],
)
def test_other_formats_show_all_their_candidates(
    tmp_path: Path, judge_format: str, cast: list[list[Vote] | None], expected: list[str]
) -> None:
    corpus = Corpus.at(str(tmp_path), format=judge_format)
    of_row = {"response_a": None, "response_b": None, "images": None}
    candidates = [response(f"answer {n}") for n in range(len(expected))]
    corpus.write("s.parquet", [pair(n, **of_row, candidates=candidates) for n in range(2)], cast)
    corpus.publish()
    write_report(corpus.output, None, "run", None, ReportConfig(), QUIET)
    page = corpus.output.read("runs/run/report.html").decode()
    assert re.findall(r"mean score ([\d.]+)<", page) == expected
    assert page.count("answer 0") == 2
