"""Processes that kill themselves at a given step, and leases that expire afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.processes import ROOT

Ask = Callable[[Mapping[str, Any]], dict[str, Any]]


@contextmanager
def dying(module: str, environment: Mapping[str, str]) -> Iterator[Ask]:
    """A process that does each request in a process of its own, which dies at the given step."""
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def ask(request: Mapping[str, Any]) -> dict[str, Any]:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = stdout.readline()
            if not line:
                log.seek(0)
                raise AssertionError(f"{module} ended by itself: {log.read()[-2_000:].decode()}")
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield ask
        stdin.close()
