"""Which pairs are alike: those of one picture, or of one text where there is none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.pairs.contents import asked_by_user, text_part
from pipeline.pairs.prompts import cluster_key, cluster_number, cluster_of
from pipeline.parts.part_files import part_bytes, read_part
from pipeline.snapshots.quality.label_counts import clusters
from pipeline.stats.bootstrap import estimates, share_of
from pipeline.store.object_store import Store
from schemas.contract import table_of
from schemas.labels import LABELS
from tests.judging import judge_rows, scripted
from tests.shards import pair, picture


def of(prompt: str, *images: bytes, videos: tuple[bytes, ...] = ()) -> str:
    pieces = [*(("image", each) for each in images), *(("video", each) for each in videos)]
    return cluster_of(asked_by_user(text_part(prompt)), [[*pieces, ("text", prompt)]])


def test_pairs_of_one_picture_are_alike_and_those_of_one_text_are_not() -> None:
    assert of("Describe it.", b"one") != of("Describe it.", b"two")
    assert of("What colour?", b"one") == of("How many?", b"one")
    assert of("Compare.", b"one", b"two") == of("Contrast.", b"two", b"one", b"one")
    assert of("Compare.", b"one", b"two") != of("Compare.", b"one")
    assert of("Watch.", videos=(b"clip",)) != of("Watch.")


def test_a_text_without_media_is_the_cluster_of_earlier_labels() -> None:
    asked = asked_by_user(text_part("Why?"))
    assert cluster_key(of("Why?"), None) == cluster_key(None, asked)
    answered = {"role": "assistant", "content": [text_part("So.")]}
    assert cluster_key(None, [*asked, answered]) != cluster_key(None, asked)


def test_labels_state_it() -> None:
    rows = [pair(number, prompt="Describe it.") for number in range(4)]
    labels = judge_rows(scripted()[0], [*rows, pair(0, prompt="How many?")])
    found = [label["cluster"] for label in labels]
    assert found == [of("", picture(number)) for number in (0, 1, 2, 3, 0)]
    assert len(set(found)) == 4


def test_parts_that_lack_it_are_read_as_without(tmp_path: object) -> None:
    store = Store(str(tmp_path))
    (label,) = judge_rows(scripted()[0], [pair(0)])
    data = part_bytes([table_of([label], LABELS)])
    table = pq.read_table(pa.BufferReader(data)).drop_columns(["cluster"])
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    store.put("part.parquet", bytes(buffer.getvalue()))
    read = read_part(store, "part.parquet")
    assert read.schema.names == LABELS.names
    assert read["cluster"].to_pylist() == [None]
    assert read_part(store, "part.parquet", ["row", "cluster"]).to_pylist() == [
        {"row": 0, "cluster": None}
    ]
    mixed = pa.table({"cluster": pa.array([None, label["cluster"]], pa.string())})
    got = clusters(mixed, np.array([7, 8], np.int64))
    assert got.tolist() == [7, cluster_number(label["cluster"])]


@pytest.mark.parametrize(("pictures", "known"), [(60, True), (19, True), (5, True), (4, False)])
def test_captions_have_an_interval_with_five_pictures(pictures: int, known: bool) -> None:
    """One text for all: clustered by text, they had none."""
    keys = [cluster_number(of("Describe it.", b"%d" % number)) for number in range(pictures)]
    right = share_of([float(number % 5 > 0) for number in range(pictures)])
    found = estimates({"right": right}, pictures, 50, clusters=keys)
    assert (found["right"].low is not None) is known
