"""Which rows are exported, and which of them for validation: by label, by texts, and by prompt."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.export.export_config import SelectionConfig
from pipeline.export.trainer_format import TrainerFormat
from pipeline.pairs.contents import KINDS, candidate_texts, media_of, question_parts
from pipeline.pairs.prompts import question_text
from pipeline.runtime.digest import digest
from schemas.labels import BY_GOLD, Status

# Why rows are dropped.
QUARANTINED, MISSING = "quarantined", "missing"
HELD_OUT, IN_BENCHMARK, OUTSIDE_BOUND = "held_out", "in_benchmark", "outside_bound"
ABSTAINED, TIE = "abstained", "tie"
NO_SCORES = "no_scores"
LOW_CONFIDENCE, BELOW_TIERS = "low_confidence", "below_tiers"
INCONSISTENT = "position_inconsistent"
SIMILAR = "near_identical"
OVER_CAP = "over_prompt_cap"
LENGTH = "length_balance"
SHARD_CHANGED = "shard_changed"
HAS_IMAGES, HAS_VIDEOS = "has_images", "has_videos"
TURNS = "turns_do_not_alternate"
NO_SET, INCOMPLETE = "ranked_set_not_stated", "ranking_incomplete"

# What these reasons, and those that concern media, mean.
MEANINGS = {
    QUARANTINED: "has no label: it could not be judged",
    MISSING: "was not labelled when the snapshot was made",
    HELD_OUT: "it, or another pair of its prompt, is in a gold set, to measure by",
    IN_BENCHMARK: "its prompt is in a benchmark that a judge was evaluated on here",
    OUTSIDE_BOUND: "came later than the gold by which the error is bounded",
    ABSTAINED: "has no label: its votes contradict each other",
    TIE: "the responses are equally good",
    NO_SCORES: "has no scores",
    LOW_CONFIDENCE: "the label's confidence is too low",
    BELOW_TIERS: "the label's confidence reaches none of the tiers",
    INCONSISTENT: "the two orders of the responses give different labels",
    SIMILAR: "the responses are nearly identical",
    OVER_CAP: "there are enough rows of the same prompt",
    LENGTH: "dropped to balance how often the longer response is the better one",
    SHARD_CHANGED: "its shard changed since the snapshot was made",
    HAS_IMAGES: "has pictures, which the format cannot hold",
    HAS_VIDEOS: "has videos, which the format cannot hold",
    TURNS: "the turns of its prompt do not alternate, which the trainer demands",
    NO_SET: "of a ranked set without its candidates: ingest it again, its labels are kept",
    INCOMPLETE: "too few labels of its ranked set to give each candidate a place",
    "media_missing": "a medium could not be found",
    "media_forbidden": "a medium may not be read",
    "media_too_large": "a medium is too large",
    "media_corrupt": "a medium is damaged",
    "media_unsupported": "a medium is of a kind that cannot be read",
    "media_changed": "a medium changed since the pair was judged",
    "video_is_inline": "a video has no path, which the trainer demands",
}

_SPACES = re.compile(r"\s+")
_GRAM = 3


def keeps_ties(format_: TrainerFormat, selection: SelectionConfig) -> bool:
    """Whether ties are exported."""
    if selection.ties is None:
        return format_.holds != "pairs"
    return selection.ties == "keep"


def label_reasons(
    labels: pa.Table,
    format_: TrainerFormat,
    selection: SelectionConfig,
    held: frozenset[str] = frozenset(),
    benchmarks: frozenset[str] = frozenset(),
) -> pa.ChunkedArray:
    """Why each row of a snapshot's labels is dropped by its label alone; null where it is kept.

    A label that is a person's own answer has no confidence and no orders, and lacks neither.

    Args:
        labels: of a shard.
        format_: of the export.
        selection: its rules.
        held: hashes of pairs, and clusters of prompts, that are held out.
        benchmarks: clusters of prompts of benchmarks.
    """
    by_gold = pc.fill_null(pc.equal(labels["decided_by"], BY_GOLD), False)
    confidence = pc.if_else(by_gold, 1.0, pc.fill_null(labels["confidence"], 0.0))
    rules = {}
    if held:
        names = pa.array(sorted(held), pa.string())
        inside = (pc.is_in(labels[name], names) for name in ("pair_hash", "cluster"))
        rules[HELD_OUT] = pc.or_(*inside)
    if benchmarks:
        rules[IN_BENCHMARK] = pc.is_in(labels["cluster"], pa.array(sorted(benchmarks), pa.string()))
    rules |= {ABSTAINED: pc.equal(labels["status"], Status.ABSTAINED)}
    if not keeps_ties(format_, selection):
        rules[TIE] = pc.equal(labels["status"], Status.TIE)
    if format_.holds == "scores":
        rules[NO_SCORES] = pc.is_null(labels["scores"])
    if format_.holds == "rankings":  # a tie of two has neither
        undecided = pc.and_(pc.is_null(labels["scores"]), pc.is_null(labels["preference"]))
        rules[NO_SCORES] = pc.and_(undecided, pc.not_equal(labels["status"], Status.TIE))
    rules[LOW_CONFIDENCE] = pc.less(confidence, selection.min_confidence)
    if selection.tiers:
        rules[BELOW_TIERS] = pc.less(confidence, min(selection.tiers.values()))
    if selection.position_consistent_only:
        consistent = pc.or_(by_gold, pc.fill_null(labels["position_consistent"], False))
        rules[INCONSISTENT] = pc.invert(consistent)
    return pc.case_when(pc.make_struct(*rules.values()), *rules)  # the first rule that is broken


def near_identical(first: str, second: str, threshold: float) -> bool:
    """Whether the texts of two responses are at least as similar as the threshold."""
    first, second = _plain(first), _plain(second)
    if first == second or threshold == 1:
        return first == second
    counts = [max(0, len(text) - _GRAM + 1) for text in (first, second)]
    if 2 * min(counts) < threshold * sum(counts) or not all(counts):  # too different in length
        return False
    # Dice: of the character trigrams of both texts, the share that they have in common.
    return 2 * (_grams(first) & _grams(second)).total() >= threshold * sum(counts)


def length_sign(pair: Mapping[str, Any], preference: str | None) -> int:
    """1 where the better response is the longer one, -1 where it is the shorter, else 0."""
    if preference is None:
        return 0
    a, b = (len(text or "") for text in candidate_texts(pair))
    longer = (a > b) - (a < b)
    return longer if preference == "a" else -longer


def random_number(*parts: bytes | str) -> int:
    """64 bits that are the same for the same parts, and uniform over all others."""
    return int(digest(*parts)[:16], 16)


def prompt_number(pair: Mapping[str, Any], seed: int, with_media: bool) -> int:
    """A prompt as 64 random bits: the same for the same prompt.

    Args:
        pair: a row of pairs v2.
        seed: another seed gives other numbers.
        with_media: whether prompts with different media are different prompts.
    """
    parts: list[bytes | str] = [str(seed), question_text(pair["messages"])]
    if with_media:
        shown = question_parts(pair)
        for kind in KINDS:
            for medium in media_of(shown, kind):
                parts += [f"{kind}s", (medium and (medium["bytes"] or medium["path"])) or ""]
    return random_number(*parts)


def in_validation(number: int, share: float) -> bool:
    """Whether the rows of a prompt are for validation."""
    return number < share * 2**64


def _plain(text: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()


def _grams(text: str) -> Counter[str]:
    return Counter(text[start : start + _GRAM] for start in range(len(text) - _GRAM + 1))
