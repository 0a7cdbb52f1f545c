"""labels v2: one row for each input row, whatever became of it, with every vote about it.

Votes are facts, and belong to the judge of the part that holds them; the other columns are the
label that the votes gave under the policy of the day. Parts of labels v1, which earlier versions
wrote, are read as v2: what they do not state is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import pyarrow as pa

from schemas.contract import versioned


class Status(StrEnum):
    """What became of an input row."""

    LABELED = "labeled"
    TIE = "tie"
    ABSTAINED = "abstained"
    QUARANTINED = "quarantined"


class Reason(StrEnum):
    """Why a row is quarantined, or why one reply could not be parsed."""

    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    OUT_OF_RANGE = "out_of_range"
    MEDIA_MISSING = "media_missing"
    MEDIA_CORRUPT = "media_corrupt"
    MEDIA_TOO_LARGE = "media_too_large"
    MEDIA_FORBIDDEN = "media_forbidden"
    MEDIA_UNSUPPORTED = "media_unsupported"
    TOO_LONG = "too_long"
    ENGINE_KILLED = "engine_killed"
    TIMEOUT = "timeout"
    BAD_ROW = "bad_row"
    FORGOTTEN = "forgotten"  # taken down by `pairmill forget`: nothing of the pair is kept


# The status of a row that a cascade did not ask this judge about; outside of ``Status``, since a
# snapshot's rows are each decided by some judge.
NOT_ASKED = "not_asked"

# What decided a row of which nothing can be compared (an empty candidate, or equal ones), where a
# person has: its label is the person's answer, and it has no votes.
BY_GOLD = "gold"

# What decided a row where several judges did together: its votes are of all of them.
BY_SEVERAL = "panel"

VERDICT = "verdict"  # the outcome of a vote with a parsed reply; any other is a Reason

# Scores of each candidate by one criterion of a rubric.
CRITERION = pa.struct([("name", pa.string()), ("scores", pa.list_(pa.float64()))])

# The version of what the judge was shown and how its reply was ended, a number for each kind; null
# where a pair has nothing of the kind, and in votes of labels v1. It is outside of the judge's id.
RENDERING = pa.struct([(kind, pa.int32()) for kind in ("text", "image", "video", "ending")])

# Something in a row that few rows have and that a part of the code alone shows, such as a picture
# with transparency ("image.alpha"), and the version of that code; beside the kinds of RENDERING.
SHOWN_KIND = pa.struct([("kind", pa.string()), ("version", pa.int32())])

_VOTE_V1 = [
    # The candidates in the order shown: "ab" or "ba" of a pair; of more candidates a
    # permutation such as "dcba"; "a" of a single one.
    ("order", pa.string()),
    ("seed", pa.int64()),
    ("score_a", pa.float64()),  # mapped back: always the score of response_a
    ("score_b", pa.float64()),
    ("scores", pa.list_(pa.float64())),  # of every candidate, where there may be more than two
    # The option chosen, mapped back: "a", "b", "tie", "both_good" or "both_bad"; null where the
    # format asks for scores.
    ("option", pa.string()),
    ("choice", pa.string()),  # of a pair: "a", "b" or "tie" by this vote alone
    ("outcome", pa.string()),  # VERDICT, or the Reason why the reply could not be parsed
    ("finish_reason", pa.string()),
    ("rationale", pa.string()),
    ("prompt_tokens", pa.int32()),
    ("output_tokens", pa.int32()),
    ("cached_tokens", pa.int32()),
]

VOTE = pa.struct(
    [
        *_VOTE_V1,
        ("criteria", pa.list_(CRITERION)),  # mapped back as scores are; null without a rubric
        # P(a) / (P(a) + P(b)) by the log-probabilities of the verdict; takes the place of `choice`
        # with `weight`. Null where they were not read or are not a verdict's.
        ("soft_a", pa.float64()),
        ("weight", pa.float64()),  # how many sampled votes it counts for; null counts as 1
        ("cut_text", pa.string()),  # what followed the verdict in the reply; null where nothing did
        ("rendering", RENDERING),
        ("run_id", pa.string()),  # of the run that asked; null in votes of labels v1: the row's
        # A later vote takes its place, since what was shown or the reply was at fault: it is kept
        # as a fact and counts no more. Null counts as false.
        ("superseded", pa.bool_()),
    ]
)

_LABELS_V1 = [
    ("label_id", pa.string()),
    ("pair_id", pa.string()),
    ("pair_hash", pa.string()),
    ("judge_id", pa.string()),
    ("shard", pa.string()),  # path relative to the input root
    ("unit", pa.string()),
    ("row", pa.int64()),  # row number within the shard, from 0
    ("status", pa.string()),
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("preference", pa.string()),  # "a" or "b", only where a pair's status is "labeled"
    ("tie_kind", pa.string()),  # "good" or "bad" where the votes for a tie say so
    ("p_a", pa.float64()),  # calibrated on gold pairs; null without a calibration
    ("p_a_raw", pa.float64()),  # share of votes for response_a, ties counting half
    ("margin", pa.float64()),  # mean of score_a - score_b over parsed votes
    ("scores", pa.list_(pa.float64())),  # each candidate's mean over parsed votes
    # that the label is right; see pipeline.aggregation.decisions
    ("confidence", pa.float64()),
    ("position_consistent", pa.bool_()),  # both orders, each alone, give the same label
    ("n_votes", pa.int32()),
    ("rationale", pa.string()),
    ("votes", pa.list_(pa.struct(_VOTE_V1))),
    ("policy_id", pa.string()),  # of the policy and calibration that made the label
    ("judged_at", pa.timestamp("us", tz="UTC")),
    ("run_id", pa.string()),
]

LABELS_V1 = versioned("labels/v1", pa.schema(_LABELS_V1))

LABELS = versioned(
    "labels/v2",
    pa.schema(
        [
            *((name, pa.list_(VOTE) if name == "votes" else kind) for name, kind in _LABELS_V1),
            ("criteria", pa.list_(CRITERION)),  # each candidate's mean over the votes that count
            ("decided_by", pa.string()),  # the judge whose votes decided, BY_GOLD or BY_SEVERAL
            ("part_revision", pa.int32()),  # of the part's key; 0 in parts of labels v1
            # How often votes about this pair were added, from 1. It goes along where a row's votes
            # are reused, so that of two rows about a pair the higher one has the later votes.
            ("revision", pa.int32()),
            (
                "epoch",
                pa.int64(),
            ),  # of the lease under which they were added last; then higher wins
            # Pairs that share it are alike and count together in statistics: a hash of the
            # prompt's media, or of its text where it has none; see pipeline.pairs.prompts.
            ("cluster", pa.string()),
            # The rubric that the row was asked by, as JSON, where it has one of its own: its
            # criteria, and their weights, which changed no vote. Null: by the judge's.
            ("rubric", pa.string()),
            # What the row has of these, as the votes that count were shown it; null where that is
            # not known, as of votes of earlier versions.
            ("shown_kinds", pa.list_(SHOWN_KIND)),
        ]
    ),
)

# Columns that parts of labels v2 may lack: they are null then.
ADDED = ("cluster", "rubric", "shown_kinds")


def labels_v2(table: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of labels v1 as labels v2, with null for what v1 does not state.

    Args:
        table: columns of labels v1.
        columns: the columns wanted; all by default. Those that v1 has must be in ``table``.
    """
    made = {}
    for name in columns or LABELS.names:
        kind = LABELS.field(name).type
        if name == "votes":
            made[name] = _votes_v2(table[name])
        elif name in table.column_names:
            made[name] = table[name]
        elif name == "part_revision":
            made[name] = pa.array([0] * table.num_rows, kind)
        else:
            made[name] = pa.nulls(table.num_rows, kind)
    return pa.table(made, schema=pa.schema([LABELS.field(name) for name in made], LABELS.metadata))


def _votes_v2(votes: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = []
    for chunk in votes.chunks:
        flat = chunk.flatten()
        fields = [
            flat.field(each.name)
            if flat.type.get_field_index(each.name) >= 0
            else pa.nulls(len(flat), each.type)
            for each in VOTE
        ]
        whole = pa.StructArray.from_arrays(fields, fields=list(VOTE), mask=flat.is_null())
        lengths = chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        offsets = pa.array([0, *lengths.cumsum().tolist()], pa.int32())
        chunks.append(pa.ListArray.from_arrays(offsets, whole, mask=chunk.is_null()))
    return pa.chunked_array(chunks, pa.list_(VOTE))
