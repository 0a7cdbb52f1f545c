"""MLLM-as-a-Judge (arXiv 2402.04788): scores, pairs and rankings of answers about a picture.

Schema read in the files of github.com/Dongping-Chen/MLLM-Judge (Dataset/Benchmark*/pair, score and
batch .jsonl; a human's judgement is called ``human`` in some releases, ``human_answer`` in
others, and scores are numbers in some rows and text in others) and in the features that
``test/evaluate.py`` of github.com/jongwooko/flex-judge gives. Published results are means over the
original data sets, as that script takes them.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.evaluation.benchmarks.benchmark import Benchmark, BenchmarkPart, Row, metadata_of
from pipeline.evaluation.benchmarks.published import (
    ANY_LEAD,
    FLEX_JUDGE,
    NEVER,
    Published,
    Setting,
)
from pipeline.judging.votes import LETTERS

_RENAMES = {"human_answer": "human"}
_UNKNOWN_GOLD = "unknown: "  # no gold: the row that has it is a bad row
_EACH = ("instruction", "image_path", "original_dataset", "human")


def _question(names: frozenset[str]) -> dict[str, Any]:
    return {"prompt": "instruction", "images": "image_path", "source": "original_dataset"} | (
        metadata_of(names, "id", "original_pair_id", "score_id")
    )


def _pair_columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    a, b = ({"text": f"{name}.answer", "model": f"{name}.name"} for name in ("answer1", "answer2"))
    gold = {"column": "human", "values": {"A": "a", "B": "b", "C": "tie"}}
    return _question(names) | {"response_a": a, "response_b": b, "gold": gold}


def _score_columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    answer = {"text": "answer", **({"model": "name"} if "name" in names else {})}
    scores = {"candidates": [answer], "gold_scores": ["human"], "gold": "unknown_gold"}
    return _question(names) | scores


def _batch_columns(names: frozenset[str], part: BenchmarkPart) -> dict[str, Any]:
    answers = {"each": "answers", "text": "answer", "model": "name"}
    scores = {"gold_scores": "human_scores", "gold": "unknown_gold"}
    return _question(names) | scores | {"candidates": answers}


def _pair_table(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    """Renames its own ids: rows get ids of the same form in every benchmark."""
    names = ["original_pair_id" if name == "pair_id" else name for name in table.column_names]
    return table.rename_columns(names)


def _score_table(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    scores, unknown = [], []
    for stored in table["human"].to_pylist():
        score = _number(stored)
        scores.append(score)
        unknown.append(None if score or stored is None else f"{_UNKNOWN_GOLD}{stored!r}")
    table = _replaced(table, "human", pa.array(scores, pa.float64()))
    return table.append_column("unknown_gold", pa.array(unknown, pa.string()))


def _batch_table(table: pa.Table, part: BenchmarkPart) -> pa.Table:
    scores, unknown = [], []
    rows = zip(table["human"].to_pylist(), table["answers"].to_pylist(), strict=True)
    for stored, answers in rows:
        read = ranked_scores(str(stored), len(answers or ()))
        scores.append(read)
        unknown.append(None if read or stored is None else f"{_UNKNOWN_GOLD}{stored!r}")
    table = table.append_column("human_scores", pa.array(scores, pa.list_(pa.float64())))
    return table.append_column("unknown_gold", pa.array(unknown, pa.string()))


def ranked_scores(ranking: str, count: int) -> list[float] | None:
    """A score for each candidate, by a ranking such as ``"CDAB"``, the best first.

    Returns:
        ``count`` for the best down to 1; None if it is no permutation of the candidates' letters.
    """
    letters = ranking.strip().lower()
    if not count or sorted(letters) != sorted(LETTERS[:count]):
        return None
    return [float(count - letters.index(letter)) for letter in LETTERS[:count]]


def _number(stored: object) -> float | None:
    """A score from 1 to 5, stored as a number or as text; None of anything else."""
    try:
        score = float(str(stored).strip('" '))
    except ValueError:
        return None
    return score if 1 <= score <= 5 else None


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _categories(pair: Row) -> tuple[str, ...]:
    return (pair["source"] or "unknown",)


def _setting(format_: str, votes: int, ours: str, counted: tuple[str, str]) -> Setting:
    """How the authors' ``test/mllm_as_a_judge_vllm.py`` asks, and ``test/evaluate.py`` counts."""
    return Setting(
        settings={
            **FLEX_JUDGE.settings,
            "judge.sampling.temperature": 0.4,
            "judge.sampling.top_p": 0.8,
            "judge.candidates": "text",
            "judge.format": format_,
            "judge.media.square": 448,
            "judge.votes.min_votes": votes,
            "judge.votes.max_votes": votes,
            "policy.threshold": ANY_LEAD,
            "policy.tie_threshold": NEVER,
        },
        other={
            **FLEX_JUDGE.other,
            "orders": (ours, "three votes, always in the order of the data"),
            "counting": counted,
        },
    )


MLLM_PAIR = Benchmark(
    name="mllm-as-a-judge-pair",
    title="MLLM-as-a-Judge, pair comparison",
    parts=(BenchmarkPart("mllm-as-a-judge-pair", "train", hints=("pair",)),),
    required=(*_EACH, "answer1", "answer2"),
    renames=_RENAMES,
    columns=_pair_columns,
    prepare=_pair_table,
    categories=_categories,
    published=(
        Published("macro_accuracy", None, 0.538, 0.423, "with ties, majority of three votes"),
        Published("macro_accuracy_no_gold_ties", None, 0.655, 0.425, "without ties, the same"),
    ),
    setting=_setting(
        "pairwise_scores",
        4,
        "both, equally often",
        ("the side with more votes, else a tie", "the same"),
    ),
)
MLLM_SCORE = Benchmark(
    name="mllm-as-a-judge-score",
    title="MLLM-as-a-Judge, scoring",
    parts=(BenchmarkPart("mllm-as-a-judge-score", "train", hints=("score",)),),
    required=(*_EACH, "answer"),
    renames=_RENAMES,
    columns=_score_columns,
    prepare=_score_table,
    about="score",
    categories=_categories,
    published=(Published("macro_pearson", None, 0.332, 0.165),),
    setting=_setting(
        "single_score",
        3,
        "there is one answer",
        (
            "r of the mean of a row's scores; rows without one left out",
            "median of the r of one, two and three runs together; a score of -1 where there is "
            "none",
        ),
    ),
)
MLLM_BATCH = Benchmark(
    name="mllm-as-a-judge-batch",
    title="MLLM-as-a-Judge, batch ranking",
    parts=(BenchmarkPart("mllm-as-a-judge-batch", "train", hints=("batch",)),),
    required=(*_EACH, "answers"),
    renames=_RENAMES,
    columns=_batch_columns,
    prepare=_batch_table,
    about="ranking",
    categories=_categories,
    published=(Published("macro_edit_distance", None, 0.426, 0.585, "the lower the better"),),
    setting=_setting(
        "batch_ranking",
        2,
        "each and its reverse, equally often",
        (
            "distance of the ranking by mean scores",
            "the largest of the mean distances of one, two and three runs together; equal scores "
            "in reverse order of the letters",
        ),
    ),
)
