"""The tables of a snapshot: labels without their votes, quarantined rows, the votes, an index.

A reader of labels does not read the rationales of every vote; the one that explains the label,
``rationale``, stays with it. Tables of earlier versions are read as these: a column that they lack
is null (``READABLE`` has their names).
"""

from __future__ import annotations

import pyarrow as pa

from schemas.contract import versioned
from schemas.labels import LABELS, VOTE

_VOTES_COLUMN = LABELS.get_field_index("votes")

# Rows with a label, a tie or an abstention; rows in quarantine have the same columns.
SNAPSHOT_LABELS = versioned("snapshot-labels/v2", LABELS.remove(_VOTES_COLUMN))

# One row for each vote of each row, of rows in quarantine too. `label_id` is null where the pair
# could not be read, and two rows with the same content share it: join by shard and row.
SNAPSHOT_VOTES = versioned(
    "snapshot-votes/v2",
    pa.schema(
        [
            ("label_id", pa.string()),
            ("pair_id", pa.string()),
            ("judge_id", pa.string()),  # whose vote it is
            ("shard", pa.string()),
            ("row", pa.int64()),
            ("vote", pa.int32()),  # from 0, in the order in which the votes were asked for
            *VOTE,
        ]
    ),
)

TABLES = {"labels": SNAPSHOT_LABELS, "quarantine": SNAPSHOT_LABELS, "votes": SNAPSHOT_VOTES}

# The browse index: of every row of both tables what it is filtered and sorted by. Of `pair_hash`
# it has the first 16 digits; `decided_by` is the label's judge where labels name no other.
BROWSE = "browse"
SNAPSHOT_BROWSE = versioned(
    "snapshot-browse/v1",
    pa.schema(
        [
            SNAPSHOT_LABELS.field(name)
            for name in (
                *("pair_id", "pair_hash", "shard", "row", "status", "reason", "preference"),
                *("confidence", "margin", "p_a", "position_consistent", "n_votes", "decided_by"),
                "criteria",
            )
        ]
    ),
)
FILE_KINDS = {**TABLES, BROWSE: SNAPSHOT_BROWSE}


def contract_of(table: str) -> str:
    """The contract of a table in this version of the software."""
    (name,) = FILE_KINDS[table].metadata.values()
    return str(name.decode())


# The contracts of each table that this version of the software reads.
READABLE = {
    name: (contract_of(name), f"{contract_of(name).partition('/')[0]}/v1") for name in TABLES
}
