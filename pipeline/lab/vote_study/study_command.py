"""The benchmark of voting strategies: results for JSON, and charts of them."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.aggregation.davidson import fit_davidson
from pipeline.lab.vote_study.real_votes import ask_all, replayed, vote_shares
from pipeline.lab.vote_study.soft_replay import soft_against_sampled
from pipeline.lab.vote_study.study import (
    CAPS,
    DEFAULTS,
    FIXED,
    KNOBS,
    REFERENCE,
    THRESHOLDS,
    curve,
    simulate,
)
from pipeline.lab.vote_study.study_plots import draw_simulation, draw_stored
from pipeline.lab.vote_study.voting_strategies import Strategy, gaining, priced, with_ties
from pipeline.labeling.label_config import LabelConfig

BUDGETS = (2.6, 4.0)  # votes a pair, of the gain rule


def bench_votes(folder: Path, seed: int, pairs: int) -> dict[str, Any]:
    """Simulates, and draws ``votes_simulated.png`` in ``folder``.

    Args:
        folder: made if it is not there.
        seed: of the sampled votes.
        pairs: sampled for each seed and population.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {"benchmark": "votes", **simulate(seed, pairs), "cores": os.cpu_count()}
    draw_simulation(results, folder / "votes_simulated.png")
    return results


def bench_stored_votes(
    config: LabelConfig, input_uri: str, folder: Path, seed: int
) -> dict[str, Any]:
    """Asks a real judge about gold pairs, replays its votes, and draws ``votes_real.png``.

    Args:
        config: of the labeling job; votes that it stored before are not asked for again.
        input_uri: the gold pairs.
        folder: where votes (``labels/``) and chart go.
        seed: of the bootstrap.
    """
    judge_id, pairs = ask_all(config, input_uri, str(folder / "labels"))
    votes = [pair.votes for pair in pairs]
    own: list[Strategy] = [gaining(CAPS[0], priced(votes, CAPS[0], budget)) for budget in BUDGETS]
    if (ties := fit_davidson(votes)) is not None:
        own.append(with_ties(CAPS[0], ties.tie_odds, ties.gap_spread))
    curves = [each for cap in CAPS for scale in THRESHOLDS for each in curve(cap, scale)]
    rows = replayed([*FIXED, *DEFAULTS, *KNOBS, *own, *curves], REFERENCE, pairs, seed)
    model, heat = config.judge.model.name, config.judge.sampling.temperature
    title = f"{model} at temperature {heat:g}, {len(pairs)} pairs, stored votes replayed"
    draw_stored(rows, title, folder / "votes_real.png")
    return {
        "judge_id": judge_id,
        "model": model,
        "temperature": heat,
        "pairs": len(pairs),
        "votes": vote_shares(pairs),
        "davidson": None if ties is None else asdict(ties),
        "rows": rows,
        "soft": soft_against_sampled([*FIXED, *DEFAULTS], pairs, seed),
    }
