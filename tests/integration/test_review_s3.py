"""Review of an output in a bucket: the same pages, and answers that are counted again there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from pipeline.gold.gold_sets import create_set
from pipeline.pairs.input_config import InputConfig
from pipeline.review.access import Access, Guard, Tokens
from pipeline.review.annotation import shown_order
from pipeline.review.review_server import application
from pipeline.review.reviewed_output import Reviewed
from pipeline.runtime.errors import StorageError
from pipeline.store.object_store import Store
from pipeline.store.s3_objects import Objects
from schemas.gold import Answer, Draw, DrawnPair, GoldSet
from schemas.labels import Status
from tests.chaos.fault_proxy import Plan, fault_proxy
from tests.measuring import Corpus, random_pairs, random_votes
from tests.publishing import live_rows
from tests.s3_server import BUCKET, JOB, S3Server
from tests.shards import picture

pytestmark = pytest.mark.s3
NOW = "2026-11-29T12:00:00+00:00"
ROOT = "http://127.0.0.1"


@pytest.fixture(scope="module")
def corpus(s3: S3Server) -> Iterator[Corpus]:
    """Two published shards in a bucket, of 40 pairs, one of them with a picture."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment(JOB).items():
            patch.setenv(name, value)
        Objects.clear_instance_cache()  # it remembers the key before
        made, rng = Corpus.at(f"s3://{BUCKET}/out/review"), random.Random(2)
        for name in ("a.parquet", "b.parquet"):
            pairs = random_pairs(rng, 20)
            pairs[0]["images"] = [{"bytes": picture(1), "path": None}]
            made.write(name, pairs, random_votes(rng, 20))
        made.publish()
        yield made
        Objects.clear_instance_cache()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens("a secret of the tests, long enough")


@pytest.fixture
def client(corpus: Corpus, tokens: Tokens) -> Iterator[TestClient]:
    reviewed = Reviewed(Store(corpus.output.uri), None, InputConfig(), 2**30)
    reviewed.inputs.read_all()
    guarded = Guard(application(reviewed, tokens), tokens, frozenset({"127.0.0.1"}), 80)
    with TestClient(guarded, base_url=ROOT) as opened:
        yield opened


def entered(client: TestClient, tokens: Tokens, access: Access | None = None) -> None:
    """Logs in, as the printed address or an annotator's link does."""
    access = access or Access()
    page = "/annotate" if access.annotator else "/"
    query = {"who": access.annotator, "set": access.set_name, "token": tokens.of(access)}
    assert client.get(f"{page}?{urlencode(query)}").status_code == 200


def test_pages_of_a_bucket_have_its_rows_and_pictures(
    corpus: Corpus, client: TestClient, tokens: Tokens
) -> None:
    entered(client, tokens)
    rows = live_rows(corpus.output)
    ties = [row for row in rows if row["status"] == Status.TIE]
    page = client.get("/?status=tie").text
    assert page.count('class="row"') == len(ties)
    for row in ties:
        assert f"{row['shard']}:{row['row']}" in page
    assert client.get("/pair?shard=a.parquet&row=0").status_code == 200
    shown = client.get("/media?shard=a.parquet&row=0&part=m0.0")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    assert client.get("/pair?shard=a.parquet&row=99").status_code == 404
    assert client.get("/?sort=nothing").status_code == 400


def test_answers_lie_in_the_bucket_one_object_each(
    corpus: Corpus, client: TestClient, tokens: Tokens
) -> None:
    hashes = [row["pair_hash"] for row in live_rows(corpus.output)][:9]
    pairs = tuple(DrawnPair(pair_hash=each) for each in hashes)
    draw = Draw(drawn_at=NOW, drawn_by="run", how="imported", pairs=pairs)
    create_set(corpus.output, GoldSet(name="s3", created_at=NOW, created_by="r", draws=(draw,)))
    entered(client, tokens, Access("ann", "s3"))
    for number, pair in enumerate(hashes):
        form = {"pair": pair, "after": "0", "choice": str(number % 4 + 1), "note": "ä\n<b>"}
        for _ in range(2):  # a double click
            answer = client.post("/annotate", data=form, headers={"Origin": ROOT})
            assert answer.status_code == 200
    stored = {e.key: corpus.output.read(e.key) for e in corpus.output.list("gold/s3/answers")}
    expected = {}
    for number, pair in enumerate(hashes):
        said = (*shown_order("ann", pair), "tie", "cannot_say")[number % 4]
        expected[f"gold/s3/answers/ann/{pair}/000001.json"] = (said, "ä\n<b>")
    read = {key: Answer.parse(data, key) for key, data in stored.items()}
    assert {key: (each.answer, each.note) for key, each in read.items()} == expected
    assert "Nothing is left for you" in client.get("/annotate").text


def test_a_store_that_fails_is_said_and_nothing_counts_as_answered(
    corpus: Corpus, client: TestClient, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [row["pair_hash"] for row in live_rows(corpus.output)][:2]
    pairs = tuple(DrawnPair(pair_hash=each) for each in hashes)
    draw = Draw(drawn_at=NOW, drawn_by="run", how="imported", pairs=pairs)
    create_set(corpus.output, GoldSet(name="bad", created_at=NOW, created_by="r", draws=(draw,)))
    entered(client, tokens, Access("ann", "bad"))

    def full(store: Store, key: str, data: bytes) -> bool:
        raise StorageError(f"{store.path(key)}: no space left")

    form = {"pair": hashes[0], "after": "0", "choice": "1", "note": ""}
    with monkeypatch.context() as patch:
        patch.setattr(Store, "create", full)
        answer = client.post("/annotate", data=form, headers={"Origin": ROOT})
    assert answer.status_code == 503
    assert "Your answer is not stored" in answer.text
    assert list(corpus.output.list("gold/bad/answers")) == []
    assert client.post("/annotate", data=form, headers={"Origin": ROOT}).status_code == 200
    assert len(list(corpus.output.list("gold/bad/answers"))) == 1


def test_a_slow_and_failing_store_shows_the_same_and_keeps_each_answer_once(
    corpus: Corpus, s3: S3Server, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = live_rows(corpus.output)
    ties = [row for row in labels if row["status"] == Status.TIE]
    hashes = [row["pair_hash"] for row in labels][:4]
    pairs = tuple(DrawnPair(pair_hash=each) for each in hashes)
    draw = Draw(drawn_at=NOW, drawn_by="run", how="imported", pairs=pairs)
    create_set(corpus.output, GoldSet(name="far", created_at=NOW, created_by="r", draws=(draw,)))
    with fault_proxy(s3.endpoint) as proxy, monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        Objects.clear_instance_cache()
        reviewed = Reviewed(Store(corpus.output.uri), None, InputConfig(), 2**30)
        proxy.plan = Plan({"slow": 0.3, "5xx": 0.1, "reset": 0.1, "lost": 0.1}, 3)
        reviewed.read_columns()
        guarded = Guard(application(reviewed, tokens), tokens, frozenset({"127.0.0.1"}), 80)
        with TestClient(guarded, base_url=ROOT) as client:
            entered(client, tokens)
            assert client.get("/?status=tie").text.count('class="row"') == len(ties)
            assert client.get("/pair?shard=a.parquet&row=0").status_code == 200
            entered(client, tokens, Access("ann", "far"))
            for pair in hashes:
                form = {"pair": pair, "after": "0", "choice": "1", "note": ""}
                answer = client.post("/annotate", data=form, headers={"Origin": ROOT})
                assert answer.status_code == 200
        assert {"slow", "5xx", "reset"} <= proxy.plan.planted.keys()
    Objects.clear_instance_cache()
    stored = sorted(entry.key for entry in corpus.output.list("gold/far/answers"))
    assert stored == sorted(f"gold/far/answers/ann/{pair}/000001.json" for pair in hashes)
