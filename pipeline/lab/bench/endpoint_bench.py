"""What a request to a judge's server costs the worker that sends it: CPU, with many at once."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from pipeline.engines.engine import Chat, Sampling
from pipeline.engines.engine_config import EngineConfig
from pipeline.engines.openai_engine import ChatRequests, OpenAIEngine
from pipeline.judging.judge_config import JudgeConfig

_MODEL = "bench/judge"
_WORDS = "The first answer names both dogs and the ball, the second misses one of them. " * 24
_REPLY = f"<think>\n{_WORDS}\n</think>\n\n<answer>8</answer><answer>3</answer>"
_SIDE = 448  # of a picture, in pixels
_PAIRS = 100  # laid out, each in both orders
_CASES = {"text": 0, f"a picture of {_SIDE}x{_SIDE}": 1}


def bench_endpoint(requests: int, at_once: Sequence[int], latency_s: float) -> dict[str, Any]:
    """Sends requests from one event loop to a server in a process of its own.

    Args:
        requests: of each case.
        at_once: how many are in flight.
        latency_s: how long the server takes for a reply.
    """
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, latency_s), daemon=True
    )
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}/v1"
        rows = [
            {"request": name, **_measured(url, pictures, requests, most)}
            for name, pictures in _CASES.items()
            for most in at_once
        ]
    finally:
        server.kill()
        server.join()
    return {
        "benchmark": "endpoint",
        "requests": requests,
        "latency_s": latency_s,
        "rows": rows,
        "notes": [
            f"one event loop; a reply of {len(_REPLY):,} characters after {latency_s:g} s, from a "
            "server in a process of its own",
            "lay_out_ms: CPU of laying one request out (threads do it in a run), PNG and base64 "
            "of its picture included, which both orders of a pair share; other_order_ms: of the "
            "second one alone; send_ms: CPU of sending it and reading its reply",
            "per_core: requests a second that one core of a worker can send",
        ],
    }


def _measured(url: str, pictures: int, requests: int, most: int) -> dict[str, Any]:
    judge = JudgeConfig.model_validate({"model": {"name": _MODEL}})
    settings = {"kind": "openai", "max_num_seqs": most, "endpoint": {"url": url}}
    how = EngineConfig.model_validate(settings)
    engine, layout = OpenAIEngine(judge, how), ChatRequests(judge, how)
    noise = np.random.default_rng(1).integers(0, 255, (_SIDE // 8, _SIDE // 8, 3), np.uint8)
    picture = Image.fromarray(noise).resize((_SIDE, _SIDE))
    text = f"What is shown?\n\n{_WORDS}\n\n{_WORDS}"
    shown = [tuple(picture.copy() for _ in range(pictures)) for _ in range(_PAIRS)]
    chats = [Chat("You are a judge.", (*each, text)) for each in shown]
    began = _cpu()
    first = [layout.render(chat) for chat in chats]
    between = _cpu()
    prompts = [*first, *map(layout.render, chats)]  # the other order shows the same pictures
    laid_out = (_cpu() - began) / len(prompts)
    other = (_cpu() - between) / len(first)

    async def send_all() -> None:
        slots = asyncio.Semaphore(most)

        async def one(number: int) -> None:
            async with slots:
                sampling = Sampling(0.2, 0.95, 4_096, number)
                await engine.reply(f"{number}", prompts[number % len(prompts)], sampling)

        async with asyncio.TaskGroup() as group:
            for number in range(requests):
                group.create_task(one(number))

    loop = asyncio.new_event_loop()
    began, start = _cpu(), time.monotonic()
    loop.run_until_complete(send_all())
    spent, seconds = (_cpu() - began) / requests, time.monotonic() - start
    engine.close()
    loop.close()
    return {
        "at_once": most,
        "body_kb": round(len(prompts[0].messages) / 1_000, 1),
        "lay_out_ms": round(1_000 * laid_out, 3),
        "other_order_ms": round(1_000 * other, 3),
        "send_ms": round(1_000 * spent, 3),
        "per_core": round(1 / (laid_out + spent)),
        "requests_per_s": round(requests / seconds, 1),
    }


def _cpu() -> float:
    """Seconds of CPU of this process, all of its threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _serve(started: Connection, latency_s: float) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 420}
    message = {"role": "assistant", "content": _REPLY}
    choices = [{"finish_reason": "stop", "message": message}]
    answer = json.dumps({"model": _MODEL, "choices": choices, "usage": usage}).encode()
    models = json.dumps({"data": [{"id": _MODEL}]}).encode()

    async def reply(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(body=models, content_type="application/json")
        await request.read()
        await asyncio.sleep(latency_s)
        return web.Response(body=answer, content_type="application/json")

    async def serve() -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", reply)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4_096)
        await site.start()
        started.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())
