"""A real review server on an output, and a browser that is logged in to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page

SECRET = "a secret of the tests, long enough"
_STARTED_S = 120


@dataclass
class Server:
    """``pairmill review`` as a process of its own.

    Attributes:
        address: with the owner's token.
    """

    process: subprocess.Popen[str]
    address: str

    @classmethod
    def start(cls, output: str, *arguments: str, port: int = 0) -> Server:
        """Starts one, and waits until it can be opened."""
        words = [sys.executable, "-m", "jobs.review", "--output", output, "--port", str(port)]
        process = subprocess.Popen(
            [*words, *arguments],
            env={**os.environ, "PAIRMILL_REVIEW_TOKEN": SECRET},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ended = threading.Timer(_STARTED_S, process.kill)
        ended.start()
        said = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("http://"):
                ended.cancel()
                return cls(process, line.strip())
        with process:
            raise AssertionError(f"no server: {''.join(said)}")

    @property
    def root(self) -> str:
        """The address without its query."""
        return self.address.partition("/?")[0]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.root.rpartition(":")[2])

    def kill(self) -> None:
        """As the machine would that loses its power."""
        with self.process:  # closes what it wrote to
            self.process.send_signal(signal.SIGKILL)


@dataclass
class Visit:
    """A browser at a server.

    Attributes:
        said: every message of the console and every error.
        asked: every address elsewhere that was asked for.
    """

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, address: str, **how: Any) -> Visit:
        """Opens an address in a context of its own."""
        context = browser.new_context(**how)
        made = cls(context.new_page())
        root = re.findall(r"^http://[^/]+", address)
        made.page.on("console", lambda message: made.said.append(message.text))
        made.page.on("pageerror", lambda error: made.said.append(str(error)))
        made.page.on("request", lambda each: made._note(each.url, root[0]))
        made.page.goto(address)
        return made

    def _note(self, asked: str, own: str) -> None:
        if not asked.startswith(own):
            self.asked.append(asked)

    def close(self, refused: int = 0) -> None:
        """Closes it; nothing must have gone elsewhere, or wrong but answers of this status."""
        self.page.context.close()
        assert self.asked == []
        assert [each for each in self.said if f"status of {refused} " not in each] == []
