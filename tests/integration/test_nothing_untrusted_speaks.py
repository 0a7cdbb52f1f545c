"""Secrets and hostile texts in every input, and every output looked through for them.

One nightly run and one evaluation on a Ray of their own, with a judge at a server; then commands
that show what came out, and commands that fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest
import yaml
from httpx2 import Response
from starlette.testclient import TestClient

from jobs import doctor, evaluate, export, label, nightly, preview, publish, report
from pipeline.gold.gold_sets import create_set
from pipeline.pairs.input_config import InputConfig
from pipeline.review.access import Access, Guard, Tokens
from pipeline.review.review_server import application
from pipeline.review.reviewed_output import Reviewed
from pipeline.runtime import printable
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, GoldSet
from tests.chat_server import ChatServer, chat_server, completion
from tests.processes import ROOT
from tests.publishing import live_rows
from tests.shards import pair, write_shard

# What no output may hold, whatever it was part of.
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAQCANARY00ENV0KEY",
    "AWS_SECRET_ACCESS_KEY": "canary/env+secret/0123456789abcdefghijkl",
    "AWS_SESSION_TOKEN": "canary-env-session-0123456789",
    "HF_TOKEN": "hf_canaryEnv0123456789abcdef",
    "JUDGE_KEY": "canary-env-judge-key-0123456789",
    "OPENAI_API_KEY": "sk-canary-env-0123456789abcdef",
    "NOTIFY_PASSWORD": "canary-env-notify-0123456789",
}
PLANTED = {
    "a word of a hook": "canary-word-of-a-hook",
    "a value of engine.env": "canary-value-of-engine-env",
    "a password in an address": "canary-userinfo",
    "a signature in an address": "canary-signature",
    "a cookie of a server": "canary-cookie",
    "a field of requests": "canary-request-field",
}
CANARIES = SECRETS | PLANTED
ADDRESS = (
    f"https://somebody:{PLANTED['a password in an address']}@example.org/a.png"
    f"?X-Amz-Signature={PLANTED['a signature in an address']}"
)
# Acts on a terminal, reorders, breaks lines, is not seen, is half a character (not in Parquet).
ACTS = "\x1b[31m\x9b2J\x07\r\u202e\u2066\u200f\u2028"
NAME = f"a{ACTS}\u200b\n.parquet"
LONG = "very long " * 3_000
HOSTILE = f"{ACTS}</script><img src=x onerror=alert(1)><script>alert(1)</script>"
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SHOWN = (".html", ".md", ".txt", ".log", ".svg", ".yaml")


@dataclass(frozen=True)
class Place:
    """Where a test's input, configuration and output are."""

    folder: Path
    server: ChatServer

    @property
    def config(self) -> Path:
        return self.folder / "night.yaml"

    @property
    def source(self) -> Path:
        return self.folder / "in"

    @property
    def gold(self) -> Path:
        return self.folder / "gold"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def arguments(self) -> list[str]:
        return ["--config", str(self.config), "--output", str(self.output)]


def rows() -> list[dict[str, Any]]:
    """Pairs with hostile texts in every column that has text, and two that are refused."""
    made = [
        pair(
            number,
            pair_id=f"pair-{number}{ACTS}",
            prompt=f"{ACTS}</script><img src=x onerror=alert(1)> {number} {LONG}",
            source=f"set{ACTS}\n|<b>](javascript:0)",
            gold=("a", "b", "tie")[number % 3],
        )
        for number in range(12)
    ]
    for row in made:
        row["response_a"]["text"] = f"{ACTS}\n{row['response_a']['text']}"
    made[3]["images"] = [{"bytes": None, "path": ADDRESS}]
    made[4]["images"] = [{"bytes": None, "path": f"../{ACTS}\n{LONG}.png"}]
    made[5]["prompt"] = "a row that the server refuses"
    return made


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """A verdict with a hostile rationale; of one row a refusal that repeats all it was sent."""
    text = json.dumps(body["messages"])
    if "the server refuses" in text:
        key, cookie = SECRETS["JUDGE_KEY"], PLANTED["a cookie of a server"]
        headers = f"Authorization: Bearer {key}, Cookie: {cookie}"
        return {"error": {"message": f"{ACTS} refused: {headers} {ADDRESS}", "code": 400}}
    scores = re.findall(r"score=(\d+)", text)
    verdict = "".join(f"<answer>{score}</answer>" for score in scores)
    return completion(f"<think>\n{ACTS}<script>alert(1)</script>\n</think>\n\n{verdict or 'ready'}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Input, configuration and server, all of them hostile."""
    folder = tmp_path_factory.mktemp(f"hostile{'x' * 8}")
    with chat_server() as server:
        server.reply = answer
        made = Place(folder, server)
        for source in (made.source, made.gold):
            write_shard(source / NAME, rows(), 4)
        write_shard(made.source / "b.parquet", [pair(number) for number in range(20, 24)], 4)
        (made.source / f"c{ACTS}\n.parquet").write_bytes(b"PAR1 no footer PAR1")
        made.config.write_text(yaml.safe_dump(configuration(server)), encoding="utf-8")
        yield made


def configuration(server: ChatServer) -> dict[str, Any]:
    extra = {"user": PLANTED["a field of requests"]}
    hook = [sys.executable, "-c", "", PLANTED["a word of a hook"]]
    return {
        "judge": {"model": {"name": "team/judge"}, "votes": {"max_votes": 2}},
        "engine": {
            "kind": "openai",
            "endpoint": {"url": server.url, "key_env": "JUDGE_KEY", "extra": extra},
            "env": {"HF_HUB_USER_AGENT_ORIGIN": PLANTED["a value of engine.env"]},
            "max_num_seqs": 8,
            "decode_threads": 2,
        },
        "input": {"unit_rows": 8},
        "quarantine": {"max_fraction": 1, "max_shards": 5},
        "nightly": {"hooks": [hook], "exports": [{"format": "jsonl"}]},
    }


def leaks(text: str) -> list[str]:
    """Which canaries a text holds, by what they are."""
    return [name for name, canary in CANARIES.items() if canary in text]


def texts_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file under a folder as text; of Parquet the values, since its pages are compressed."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet" and path.is_file():
            yield path, str(pq.read_table(path).to_pylist()) + str(pq.read_schema(path).metadata)
        elif path.is_file() and not path.is_symlink():
            yield path, path.read_bytes().decode("utf-8", "replace")


def assert_silent(text: str, where: object) -> None:
    """That a text which is shown holds no canary, and nothing that acts on what shows it."""
    assert leaks(text) == [], where
    found = _ACTING.search(text)
    around = text[max(0, found.start() - 80) : found.end() + 20] if found else ""
    assert found is None, (where, around)
    assert "\n.parquet" not in text, where  # a name forges no line


def test_a_night_and_an_evaluation(place: Place) -> None:
    named = place.folder / "ray-folder"
    commands = [
        ["jobs.nightly", *place.arguments, "--input", str(place.source)],
        ["jobs.evaluate", *place.arguments, "--input", str(place.gold)],
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_A")} | SECRETS
    done = subprocess.run(
        [sys.executable, "-m", "tests.kept_ray", str(named), json.dumps(commands)],
        cwd=ROOT,
        env=environment | {"AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
    )
    ray_folder = Path(named.read_text(encoding="utf-8"))
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert ray_folder.stat().st_mode & 0o777 == 0o700
        for path, text in texts_of(ray_folder):
            assert leaks(text) == [], path
    finally:
        shutil.rmtree(ray_folder)
    assert_silent(done.stdout, "standard output")
    assert_silent(done.stderr, "standard error")
    assert "refused" in str([text for _, text in texts_of(place.output / "parts")])
    for path, text in texts_of(place.output):
        assert leaks(text) == [], path
        if path.suffix in _SHOWN:
            assert_silent(text, path)
        assert "<script>alert" not in text or path.suffix in (".parquet", ".jsonl"), path


def test_what_shows_an_output_afterwards(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use_secrets(monkeypatch)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    source, page = ["--input", str(place.source)], place.folder / "preview.html"
    previewed = ["--config", str(place.config), *source]
    for main, arguments in (
        (preview.COMMAND.main, [*previewed, "--log", "text"]),
        (preview.COMMAND.main, [*previewed, "--log", "json"]),
        (preview.COMMAND.main, [*previewed, "--html", str(page)]),
        (report.COMMAND.main, [*place.arguments, *source]),
        (export.COMMAND.main, [*place.arguments, *source, "--format", "trl"]),
        (publish.COMMAND.main, ["--output", str(place.output), "--list"]),
        (doctor.COMMAND.main, [*place.arguments, *source]),
        (label.COMMAND.main, [*place.arguments, *source, "--dry-run", "--log", "text"]),
    ):
        main(arguments)
        shown = capsys.readouterr()
        assert shown.out + shown.err, arguments
        assert_silent(shown.out, arguments)
        assert_silent(shown.err, arguments)
    assert_silent(page.read_text(encoding="utf-8"), page)
    for path, text in texts_of(place.output):
        assert leaks(text) == [], path


def test_every_page_of_the_review(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsing, search, comparison, sets; an annotator, whose guideline and notes are hostile."""
    _use_secrets(monkeypatch)
    output, now = Store(str(place.output)), "2026-11-29T12:00:00+00:00"
    labels = [*live_rows(output), *live_rows(output, "quarantine")]
    drawn = tuple(DrawnPair(r["pair_hash"], r["pair_id"]) for r in labels if r["pair_hash"])
    draw = Draw(now, "run", "imported", drawn)
    guideline = f"# {HOSTILE}\n\n[see](javascript:alert(1)) {ADDRESS}\n\n{HOSTILE}"
    create_set(output, GoldSet("hostile", now, "run", guideline=guideline, draws=(draw,)))
    tokens = Tokens()
    reviewed = Reviewed(output, None, InputConfig(), 2**30)
    reviewed.inputs.read_all()
    root = "http://127.0.0.1"
    app = Guard(application(reviewed, tokens), tokens, frozenset({"127.0.0.1"}), 80)
    people = [({"token": tokens.owner}, "/"),
              ({"who": "ann", "set": "hostile", "token": tokens.of(Access("ann", "hostile"))},
               "/annotate")]  # fmt: skip
    texts = [ACTS, HOSTILE, ADDRESS, "very long", "picture"]
    rows = [urlencode({"shard": row["shard"], "row": row["row"]}) for row in labels]
    pages = ["/", "/compare", "/sets", "/set?name=hostile", "/compare?with=x", "/set?name=%1b%0a"]
    pages += [f"/?{urlencode({name: HOSTILE})}" for name in ("status", "sort", "source", "page")]
    pages += [f"/search?{urlencode({'text': text})}" for text in texts]
    pages += [f"/{kind}?{row}" for kind in ("pair", "media") for row in rows]
    with TestClient(app, base_url=root, raise_server_exceptions=False) as client:
        for query, first in people:
            assert client.get(f"{first}?{urlencode(query)}").status_code == 200
            if first == "/annotate":
                form = {"after": "0", "choice": "3", "note": f"{HOSTILE} {ADDRESS}"}
                posted = [{**form, "pair": drawn[0].pair_hash}, {**form, "pair": HOSTILE}]
                answers = [
                    client.post(first, data=each, headers={"Origin": root}) for each in posted
                ]
                assert [answer.status_code for answer in answers] == [200, 400]
                pages = [first, *(f"{first}?pair={pair.pair_hash}" for pair in drawn)]
                _assert_pages_silent(answers)
            _assert_pages_silent([client.get(page) for page in pages])


def _assert_pages_silent(answers: Iterable[Response]) -> None:
    for answer in answers:
        assert answer.status_code < 500, answer.url
        assert leaks(str(answer.headers)) == [], answer.url
        if answer.headers["content-type"].startswith("text/"):
            assert_silent(answer.text, answer.url)
            for tag in ("<script>alert", "<img src=x", 'href="javascript:'):
                assert tag not in answer.text, answer.url


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": {"endpoint": {"url": ADDRESS}}},
        {"engine": {"env": {"OMP_NUM_THREADS": ["canary-cookie"]}}},
        {"engine": {"env": {"HF_TOKEN": "canary-cookie"}}},
        {"judge": {"model": {"env": {"MY_SECRET": "canary-cookie"}}}},
        {"judge": {"model": {"name": ADDRESS}}},
        {"nightly": {"hooks": "canary-word-of-a-hook"}},
        {"input": {"media_roots": [ADDRESS]}},
        {f"in{ACTS}put": {"a": 1}},
    ],
    ids=lambda settings: next(iter(settings)).encode("unicode_escape").decode(),
)
def test_configurations_that_cannot_be_used(
    place: Place,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _use_secrets(monkeypatch)
    config = tmp_path / "night.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments = ["--input", str(place.source), "--output", str(tmp_path / "out")]
    assert nightly.COMMAND.main(["--config", str(config), *arguments]) == 2
    shown = capsys.readouterr()
    assert_silent(shown.out + shown.err, settings)


def test_words_of_a_command_line_are_not_repeated(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("nightly:\n  hooks: [[notify, canary-word-of-a-hook\n", encoding="utf-8")
    where = ["--input", str(place.source), "--output", str(tmp_path / "out")]
    for more in (
        ["--config", str(broken)],
        ["--set", "engine.env.OMP_X: [canary-value-of-engine-env"],
        ["--set", "engine.env.OMP_X=[canary-value-of-engine-env"],
        ["--engine.env.OMP_X", "{canary-value-of-engine-env"],
    ):
        assert evaluate.COMMAND.main([*where, *more]) == 2
        shown = capsys.readouterr()
        assert_silent(shown.out + shown.err, more)


def _use_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(printable, "_secrets", printable._secrets.__wrapped__)
