"""A stand-in of a judge's server: OpenAI's chat protocol on loopback, with faults as planned."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import serving

MODEL = "team/judge"
VERDICT = "<think>\nfine\n</think>\n\n<answer>3</answer><answer>8</answer>"


@dataclass(frozen=True)
class Fault:
    """What is answered in place of a reply.

    Attributes:
        text: the body.
        cut: how many bytes of the body are withheld, though the header promises them.
        stall_s: how long the answer takes.
    """

    status: int = 200
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    stall_s: float = 0


def completion(text: str = VERDICT, model: str = MODEL, **message: Any) -> dict[str, Any]:
    """A chat completion as vLLM writes it."""
    return {
        "model": model,
        "choices": [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {
            "prompt_tokens": 70,
            "completion_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
    }


class ChatServer:
    """What the server was asked, and what it answers.

    Attributes:
        url: its base URL, ``/v1`` included.
        requests: bodies of chat requests, the engine's first one (its probe) included.
        headers: of each of them.
        faults: answered to the next chat requests, one each, before any reply.
        reply: makes an answer of a request.
        models: what it lists.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.faults: deque[Fault] = deque()
        self.reply: Callable[[dict[str, Any]], dict[str, Any]] = lambda _: completion()
        self.models: list[dict[str, Any]] = [{"id": MODEL, "root": "/weights/judge"}]
        self.at_once, self._open, self._lock = 0, 0, threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> Fault:
        """The answer to one request."""
        if handler.command == "GET":
            return Fault(text=json.dumps({"object": "list", "data": self.models}))
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.requests.append(body)
            self.headers.append(dict(handler.headers))
            fault = self.faults.popleft() if self.faults else None
            self._open += 1
            self.at_once = max(self.at_once, self._open)
        try:
            time.sleep(fault.stall_s if fault else 0)
            return fault or Fault(text=json.dumps(self.reply(body)))
        finally:
            with self._lock:
                self._open -= 1


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """Serves for the length of a block."""
    server = ChatServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(server.answer(self))

        def do_POST(self) -> None:
            self._send(server.answer(self))

        def _send(self, answer: Fault) -> None:
            body = answer.text.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - answer.cut])
            if answer.cut:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(Handler) as url:
        server.url = f"{url}/v1"
        yield server
