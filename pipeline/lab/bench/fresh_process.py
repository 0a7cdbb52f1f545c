"""Runs a measurement in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

from rich.console import Console

from pipeline.runtime.reporter import Reporter

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def in_fresh_process(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Calls ``work`` (a module's function) in a new interpreter, so that nothing is cached.

    What the process prints goes to standard error: standard output is for the results. Of vLLM's
    own logs only errors are shown, unless ``VLLM_LOGGING_LEVEL`` asks for more.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_redirect) as pool:
        return pool.submit(work, *arguments, **named).result()


def stderr_reporter() -> Reporter:
    """Reports beside the results: lines of text on standard error."""
    return Reporter(Console(file=sys.stderr, soft_wrap=True), style="text")


def _redirect() -> None:
    os.dup2(2, 1)  # the descriptor itself: engines and their processes write there too
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # it logs a screenful of settings
