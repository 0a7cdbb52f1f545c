"""A judge at a server: what is sent, what its answers mean, and what is tried again."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from pipeline.engines import endpoint, openai_engine
from pipeline.engines.endpoint import pause_of
from pipeline.engines.engine import Chat, Reply, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.model_version import model_version
from pipeline.engines.openai_engine import OpenAIEngine, Request, inert
from pipeline.judging.judge_config import ModelConfig
from pipeline.labeling.label_config import LabelConfig
from pipeline.media.clip import Clip
from pipeline.runtime.errors import ConfigError, EndpointError, EngineStartError, RowRejected
from schemas.labels import Reason
from tests.chat_server import MODEL, VERDICT, ChatServer, Fault, chat_server, completion

CHAT = Chat("You judge.", ("Which is better?",))
HOW = Sampling(temperature=0.7, top_p=0.9, max_tokens=100, seed=11)
KEY = "canary-key-5e1f"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT_S", 0.02)
    with chat_server() as served:
        yield served


@pytest.fixture(autouse=True)
def engines() -> Iterator[list[OpenAIEngine]]:
    """The engines that a test starts: closed at its end."""
    yield STARTED
    while STARTED:
        STARTED.pop().close()


STARTED: list[OpenAIEngine] = []
LOOP = asyncio.new_event_loop()  # an engine's connections belong to the loop that asked first


def started(server: ChatServer, **settings: Any) -> OpenAIEngine:
    judge = settings.pop("judge", {})
    limit = {"request_timeout_s": settings.pop("request_timeout_s", 20)}
    where = {"url": server.url, "retry_s": 20, "key_env": "JUDGE_KEY", **settings}
    config = LabelConfig.model_validate(
        {
            "judge": {"model": {"name": MODEL}, **judge},
            "engine": {"kind": "openai", "endpoint": where, **limit},
        }
    )
    assert (config.workers.gpus, config.workers.cpus) == (0, 1)
    STARTED.append(OpenAIEngine(config.judge, config.engine))
    return STARTED[-1]


def replied(engine: OpenAIEngine, chat: Chat = CHAT, how: Sampling = HOW) -> Reply:
    return LOOP.run_until_complete(engine.reply("r1", engine.render(chat), how))


def last(server: ChatServer) -> dict[str, Any]:
    return server.requests[-1]


def test_a_request_and_its_reply(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    picture = Image.new("RGB", (56, 28), (200, 10, 30))
    chat = Chat("You judge.", ("First", picture, "\nWhich is better?"))
    reply = replied(started(server, extra={"service_tier": "flex"}), chat)
    assert reply == Reply(VERDICT, "stop", 70, 12, 64)
    sent = last(server)
    assert server.headers[-1]["Authorization"] == f"Bearer {KEY}"
    system, user = sent.pop("messages")
    assert system == {"role": "system", "content": "You judge."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]
    uri = user["content"][1]["image_url"]["url"]
    shown = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    assert shown.tobytes() == picture.tobytes()
    assert sent == {
        "service_tier": "flex",
        "model": MODEL,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 100,
        "seed": 11,
    }


def test_a_picture_is_encoded_once_for_all_prompts_that_show_it(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    png = openai_engine._png

    def counted(image: Image.Image) -> str:
        encoded.append(image.width)
        return png(image)

    monkeypatch.setattr(openai_engine, "_png", counted)
    engine = started(server)
    one, other = Image.new("RGB", (56, 28), (9, 9, 9)), Image.new("RGB", (28, 28), (1, 2, 3))
    clip = Clip((other, one), 1.0)
    orders = [
        engine.render(Chat("s", parts)) for parts in ((one, "a", clip, "b"), (clip, "b", one, "a"))
    ]
    assert encoded == [56, 28]
    first, second = (
        json.loads(prompt.messages)[1]["content"]
        for prompt in orders
        if isinstance(prompt, Request)
    )
    assert [first[0], *first[2:4]] == [second[3], *second[:2]]


def test_what_a_server_may_not_know_is_not_sent(server: ChatServer) -> None:
    engine = started(server, seeds=False, length_field="max_completion_tokens")
    replied(engine)
    assert "seed" not in last(server)
    assert last(server)["max_completion_tokens"] == 100
    assert "max_tokens" not in last(server)
    assert "Authorization" not in server.headers[-1]


def test_frames_of_a_clip(server: ChatServer) -> None:
    frames = tuple(Image.new("RGB", (28, 28), (shade, 0, 0)) for shade in (10, 200))
    chat = Chat("s", (Clip(frames, 1.0), "Which?"))
    replied(started(server), chat)
    kinds = [part["type"] for part in last(server)["messages"][1]["content"]]
    assert kinds == ["image_url", "image_url", "text"]
    replied(started(server, clips="video"), chat)
    video = last(server)["messages"][1]["content"][0]["video_url"]["url"]
    assert video.startswith("data:video/jpeg;base64,")
    assert len(video.partition(",")[2].split(",")) == 2
    assert last(server)["media_io_kwargs"] == {"video": {"num_frames": -1}}


def test_a_prefix_is_continued_where_the_server_can(server: ChatServer) -> None:
    prefix = {"sampling": {"reply_prefix": "<think>\n"}}
    with pytest.raises(ConfigError, match=r"set engine\.endpoint\.continues"):
        started(server, judge=prefix)
    engine = started(server, judge=prefix, continues=True)
    replied(engine, Chat("s", ("u",), "<think>\n"))
    assert last(server)["messages"][-1] == {"role": "assistant", "content": "<think>\n"}
    assert last(server)["continue_final_message"] is True


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "", "refusal": "I cannot judge this."}, "I cannot judge this."),
        ({"content": "<answer>1</answer>", "reasoning": "so"}, None),
        ({"content": "<answer>1</answer>", "reasoning_content": "so"}, None),
        ({"content": [{"type": "text", "text": "<answer>1</answer>"}]}, "<answer>1</answer>"),
        ({"content": None}, ""),
    ],
)
def test_where_servers_put_what_was_written(
    server: ChatServer, message: dict[str, Any], text: str | None
) -> None:
    engine = started(server)
    server.reply = lambda _: completion(**{"text": "", **message})
    expected = "<think>\nso\n</think>\n\n<answer>1</answer>" if text is None else text
    assert replied(engine).text == expected


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, "{}", {"Retry-After": "0"}),
        Fault(429, "{}", {"retry-after-ms": "20"}),
        Fault(503, "<html>busy</html>"),
        Fault(500, '{"error": {"message": "oops"}}'),
        Fault(409, "{}"),
        Fault(408, "{}"),
        Fault(200, "<html>a login page</html>"),
        Fault(200, json.dumps(completion())[:40]),
        Fault(200, json.dumps(completion()), cut=10),
        Fault(200, "[" * 200_000),
        Fault(200, '{"error": {"message": "no capacity", "code": 502}}'),
    ],
)
def test_passing_faults_are_tried_again(server: ChatServer, fault: Fault) -> None:
    engine = started(server)
    server.faults.extend([fault, fault])
    assert replied(engine).text == VERDICT
    assert len(server.requests) == 1 + 3  # the probe first


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(400, '{"error": {"message": "maximum context length is 8192"}}'), Reason.TOO_LONG),
        (Fault(413, "<html>Request Entity Too Large</html>"), Reason.TOO_LONG),
        (Fault(400, '{"error": {"message": "cannot identify image"}}'), Reason.BAD_ROW),
        (Fault(422, '{"detail": "no"}'), Reason.BAD_ROW),
        (Fault(200, '{"error": {"message": "bad picture", "code": 400}}'), Reason.BAD_ROW),
    ],
)
def test_a_refused_request_is_that_row(server: ChatServer, fault: Fault, reason: Reason) -> None:
    engine = started(server)
    server.faults.append(fault)
    with pytest.raises(RowRejected) as refused:
        replied(engine)
    assert refused.value.reason == reason
    assert replied(engine).text == VERDICT


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401, '{"error": {"message": "bad key"}}'), "JUDGE_KEY, which is set"),
        (Fault(403, "{}"), "status 403"),
        (Fault(402, "{}"), "status 402"),
        (Fault(404, "not here"), "not here"),
        (Fault(302, "", {"Location": "https://login.example"}), "redirects to"),
        (Fault(200, json.dumps(completion(model="another"))), "answered by 'another'"),
        (Fault(200, '{"object": "list"}'), "without choices"),
        (Fault(200, '{"choices": [3]}'), "without choices"),
        (Fault(200, '{"choices": [{"message": "text"}]}'), "without choices"),
        (Fault(200, '{"choices": {"message": {"content": "x"}}}'), "without choices"),
    ],
)
def test_what_is_no_rows_fault_ends_the_run(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, fault: Fault, said: str
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    engine = started(server)
    server.faults.append(fault)
    with pytest.raises(EndpointError, match=said) as ended:
        replied(engine)
    assert ended.value.exit_code == 2
    assert KEY not in str(ended.value)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        3,
        {"prompt_tokens": "70", "prompt_tokens_details": [64]},
        {"prompt_tokens": -1},
    ],
)
def test_a_reply_without_a_usable_usage_counts_no_tokens(server: ChatServer, usage: object) -> None:
    engine = started(server)
    server.reply = lambda _: completion() | {"usage": usage}
    reply = replied(engine)
    assert (reply.text, reply.prompt_tokens, reply.output_tokens) == (VERDICT, 0, 0)
    assert reply.cached_tokens == 0


def test_a_reply_that_is_withheld_is_empty(server: ChatServer) -> None:
    engine = started(server)
    server.faults.append(Fault(200, json.dumps({"model": MODEL, "choices": []})))
    assert replied(engine).text == ""
    assert replied(engine).text == VERDICT


def test_a_server_that_stays_away_ends_the_run(server: ChatServer) -> None:
    engine = started(server, retry_s=0.2)
    server.faults.extend([Fault(503, "busy")] * 20)
    with pytest.raises(EndpointError, match=r"status 503: 'busy'; tried \d times"):
        replied(engine)
    with chat_server() as gone:
        engine = started(gone, retry_s=0.2)
    with pytest.raises(EndpointError, match="no answer"):
        replied(engine)


def test_a_slow_reply_is_a_timeout_of_its_own(server: ChatServer) -> None:
    engine = started(server, request_timeout_s=0.3)
    server.faults.append(Fault(stall_s=1))
    with pytest.raises(TimeoutError):
        replied(engine)


def test_all_requests_pause_together(server: ChatServer) -> None:
    engine = started(server)
    server.faults.append(Fault(429, "{}", {"Retry-After": "0.4"}))

    async def both() -> list[Reply]:
        first = asyncio.ensure_future(engine.reply("1", engine.render(CHAT), HOW))
        await asyncio.sleep(0.2)  # until the server has asked for its pause
        seen = len(server.requests)
        later = asyncio.ensure_future(engine.reply("2", engine.render(CHAT), HOW))
        await asyncio.sleep(0.05)
        assert len(server.requests) == seen  # it waits, too
        return list(await asyncio.gather(first, later))

    assert [reply.text for reply in LOOP.run_until_complete(both())] == [VERDICT, VERDICT]


@pytest.mark.parametrize(
    ("plan", "raised", "said"),
    [
        (lambda s: s.models.clear(), EngineStartError, "does not serve judge.model.name"),
        (lambda s: s.models.insert(0, {"name": "odd"}), None, ""),
        (lambda s: s.faults.append(Fault(400, "no seed")), EngineStartError, "seeds, continues"),
        (lambda s: s.faults.append(Fault(401, "{}")), EndpointError, "is not set"),
    ],
)
def test_the_start_asks_the_server(
    server: ChatServer, plan: Callable[[ChatServer], None], raised: Any, said: str
) -> None:
    plan(server)
    if raised is None:
        assert started(server).at_once == 256
        return
    with pytest.raises(raised, match=said):
        started(server)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 29 Nov 2026 10:00:30 GMT"}, 30),
        ({"retry-after": "Sun, 29 Nov 2026 09:00:00 GMT"}, 0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2s"}, 62),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12ms"}, 0.012),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "12ms"}, None),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "9s"}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_of(headers, now=1_795_946_400) == seconds


def test_marks_of_chat_templates_are_broken_and_nothing_else() -> None:
    live = ["<|im_end|>", "<|eot_id|>", "<\uff5cend\u2581of\uff5c>", "</s>", "[/INST]"]
    live += ["<start_of_turn>", "<tool_call>", "<image>", "<|vision_start|>", "<fim_prefix>"]
    for mark in live:
        assert inert(f"a {mark} b") == f"a {mark[0]}\u2060{mark[1:]} b"
    plain = "<div> a < b <|> x[1] <think>hm</think> List<int> <strong>"
    assert inert(plain) == plain


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "needs endpoint.url"),
        ({"url": "judge:8000"}, "expected http://HOST/v1"),
        ({"url": "http://user:secret@judge/v1"}, "expected no user"),
        ({"url": "http://judge/v1?key=1"}, "expected no user, query"),
        ({"url": "http://judge/v1", "extra": {"temperature": 1}}, "set them under judge"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EngineConfig.model_validate({"kind": "openai", "endpoint": settings})


def test_identity_is_what_is_stated_or_else_what_the_server_says(server: ChatServer) -> None:
    engine = EngineConfig.model_validate({"kind": "openai", "endpoint": {"url": server.url}})
    version = model_version(ModelConfig(name=MODEL), engine)
    assert version.digest == "served:team/judge root=/weights/judge"
    server.models[0]["created"] = 5  # in some servers the time of the question
    assert model_version(ModelConfig(name=MODEL), engine) == version
    server.models[0]["root"] = "/weights/other"
    assert model_version(ModelConfig(name=MODEL), engine) != version
    server.models.clear()
    stated = model_version(ModelConfig(name=MODEL, revision="2026-11"), engine)
    assert stated.digest == "served:team/judge revision=2026-11"


def test_unknown_kinds_name_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="openai, scripted, transformers, vllm"):
        LabelConfig.model_validate({"engine": {"kind": "vlm"}})
