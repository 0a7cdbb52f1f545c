"""Which rows are exported: rules about labels for whole tables, and about the texts of a pair."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.export.export_config import SelectionConfig
from pipeline.export.trainer_format import TrainerFormat
from schemas.labels import Status

# Why rows are dropped.
QUARANTINED, MISSING = "quarantined", "missing"
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

# The same for people, and the reasons that media give.
MEANINGS = {
    QUARANTINED: "has no label: it could not be judged",
    MISSING: "was not labelled when the snapshot was made",
    ABSTAINED: "has no label: its votes contradict each other",
    TIE: "the responses are equally good",
    NO_SCORES: "has no scores",
    LOW_CONFIDENCE: "the label's confidence is too low",
    BELOW_TIERS: "the label's confidence reaches none of the tiers",
    INCONSISTENT: "the two orders of the responses do not say the same",
    SIMILAR: "the responses are nearly identical",
    OVER_CAP: "there are enough rows of the same prompt",
    LENGTH: "dropped to balance how often the longer response is the better one",
    SHARD_CHANGED: "its shard changed since the snapshot was made",
    HAS_IMAGES: "is about pictures, which the format cannot hold",
    HAS_VIDEOS: "is about videos, which the format cannot hold",
    TURNS: "the turns of its prompt do not alternate, which the trainer demands",
    "media_missing": "a medium could not be found",
    "media_forbidden": "a medium may not be read",
    "media_too_large": "a medium is too large",
    "media_changed": "a medium is not what it was when the pair was judged",
    "video_is_inline": "a video has no path, which the trainer demands",
}

_SPACES = re.compile(r"\s+")
_GRAM = 3


def keeps_ties(format_: TrainerFormat, selection: SelectionConfig) -> bool:
    """Whether ties are exported."""
    if selection.ties is None:
        return format_.holds == "scores"
    return selection.ties == "keep"


def label_reasons(
    labels: pa.Table, format_: TrainerFormat, selection: SelectionConfig
) -> pa.ChunkedArray:
    """Why each row of a snapshot's labels is dropped by its label alone; null where it is kept."""
    confidence = pc.fill_null(labels["confidence"], 0.0)
    rules = [(pc.equal(labels["status"], Status.ABSTAINED), ABSTAINED)]
    if not keeps_ties(format_, selection):
        rules.append((pc.equal(labels["status"], Status.TIE), TIE))
    if format_.holds == "scores":
        rules.append((pc.is_null(labels["scores"]), NO_SCORES))
    rules.append((pc.less(confidence, selection.min_confidence), LOW_CONFIDENCE))
    if selection.tiers:
        rules.append((pc.less(confidence, min(selection.tiers.values())), BELOW_TIERS))
    if selection.position_consistent_only:
        consistent = pc.fill_null(labels["position_consistent"], False)
        rules.append((pc.invert(consistent), INCONSISTENT))
    reason = pa.chunked_array([pa.nulls(len(labels), pa.string())])
    for broken, text in reversed(rules):  # the first rule that is broken has the last word
        reason = pc.if_else(broken, text, reason)
    return reason


def near_identical(first: str, second: str, threshold: float) -> bool:
    """Whether two responses are more alike than a pair to learn from should be."""
    first, second = _plain(first), _plain(second)
    if first == second or threshold == 1:
        return first == second
    counts = [max(0, len(text) - _GRAM + 1) for text in (first, second)]
    if 2 * min(counts) < threshold * sum(counts) or not all(counts):  # too different in length
        return False
    # Dice: of the character trigrams of both texts, the share that they have in common.
    return 2 * (_grams(first) & _grams(second)).total() >= threshold * sum(counts)


def _plain(text: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip().casefold()


def _grams(text: str) -> Counter[str]:
    return Counter(text[start : start + _GRAM] for start in range(len(text) - _GRAM + 1))


def length_sign(chosen: str, rejected: str) -> int:
    """1 where the better response is the longer one, -1 where it is the shorter, else 0."""
    return (len(chosen) > len(rejected)) - (len(chosen) < len(rejected))
