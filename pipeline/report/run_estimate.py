"""How long a planned run will take and what it will cost, from judgments per second as measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.report.report_config import ReportConfig
from pipeline.store.object_store import Store
from schemas.labels import NOT_ASKED

_TOKENS = ", or judge a sample first where tokens have the price"
_LEAST_S = 30  # a shorter run measures how engines fill and drain


@dataclass(frozen=True)
class Rate:
    """Judgments per second, as measured.

    Attributes:
        judgments_per_s: of all GPUs together.
        measured_by: where the figure is from.
        judgments_a_pair: mean votes of a pair, where a run has measured them.
        tokens: of such a run's judgments: of prompts, of these cached, and of replies.
        judgments: of that run.
    """

    judgments_per_s: float
    measured_by: str
    judgments_a_pair: float | None = None
    tokens: tuple[int, int, int] = (0, 0, 0)
    judgments: int = 0

    def token_usd(self, config: ReportConfig) -> float | None:
        """What the tokens of a judgment cost; None where prices or tokens are not known."""
        prices = config.usd_per_million_tokens
        return prices.usd(*self.tokens) / self.judgments if prices and self.judgments else None


def measured_rate(output: Store, judge_id: str, config: ReportConfig) -> Rate | None:
    """The rate of this judge's last long run on this output; else the configured one, if any."""
    keys = [entry.key for entry in output.list("runs") if entry.key.endswith("/run.json")]
    for key in reversed(keys):  # run ids begin with their time
        run: dict[str, Any] = json.loads(output.read(key))
        others = run.get("by_gold", 0) + run.get(NOT_ASKED, 0)
        judged = run["pairs"] - run["reused"] - others
        if run["judge_id"] == judge_id and run["judging_s"] >= _LEAST_S and judged > 0:
            all_judgments = run["judgments"] + run["canary_judgments"]
            measured_by = f"run {run['run_id']}"
            tokens = (run["prompt_tokens"], run["cached_tokens"], run["output_tokens"])
            counts = (run["judgments"] / judged, tokens, run["judgments"])
            return Rate(all_judgments / run["judging_s"], measured_by, *counts)
    if config.judgments_per_s is None:
        return None
    return Rate(config.judgments_per_s * config.gpus, "report.judgments_per_s")


def run_estimate(plan: Mapping[str, int], rate: Rate | None, config: ReportConfig) -> str:
    """Hours and dollars of a plan, as a sentence; says what is unknown, and why.

    Args:
        plan: ``Plan.summary()``.
        rate: as measured, if it was.
        config: has the price.
    """
    if not plan["pairs_to_do"]:
        return "nothing to judge: no time, no cost"
    if rate is None:
        return (
            "hours and dollars are unknown, since nothing says how many judgments a second this "
            f"configuration does: judge a sample first (label --sample 500, which must take "
            f"{_LEAST_S} s), or set report.judgments_per_s"
        )
    if rate.judgments_a_pair is None:
        judgments = [float(plan["judgments_at_least"]), float(plan["judgments_at_most"])]
    else:
        judgments = [rate.judgments_a_pair * plan["pairs_to_do"]]
    hours = [count / rate.judgments_per_s / 3_600 for count in judgments]
    text = (
        f"{_range(hours, '{:,.2g}' if hours[-1] < 10 else '{:,.0f}')} hours at "
        f"{rate.judgments_per_s:,.3g} judgments/s ({rate.measured_by}; report.gpus "
        f"{config.gpus:g}), starts of engines not included; "
    )
    tokens = rate.token_usd(config)
    if not config.priced or (config.usd_per_million_tokens and tokens is None):
        return text + "dollars are unknown: set report.gpu_usd_per_hour" + _TOKENS
    each = (config.usd_per_hour or 0) / 3_600 / rate.judgments_per_s + (tokens or 0)
    dollars = [each * count for count in judgments]
    return f"{text}{_range(dollars, '${:,.2f}')} at ${each * 1_000:,.2f} per 1,000 judgments"


def _range(values: list[float], form: str) -> str:
    return " to ".join(dict.fromkeys(form.format(value) for value in values))
