"""The tables of a snapshot: labels without their votes, quarantined rows, and the votes.

A reader of labels does not read the rationales of every vote; the one that explains the label,
``rationale``, stays with it.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.contract import versioned
from schemas.labels import LABELS, VOTE

_VOTES_COLUMN = LABELS.get_field_index("votes")

# Rows with a label, a tie or an abstention; rows in quarantine have the same columns.
SNAPSHOT_LABELS = versioned("snapshot-labels/v1", LABELS.remove(_VOTES_COLUMN))

# One row for each vote of each row, of rows in quarantine too. `label_id` is null where the pair
# could not be read, and two rows with the same content share it: join by shard and row.
SNAPSHOT_VOTES = versioned(
    "snapshot-votes/v1",
    pa.schema(
        [
            ("label_id", pa.string()),
            ("pair_id", pa.string()),
            ("shard", pa.string()),
            ("row", pa.int64()),
            ("vote", pa.int32()),  # from 0, in the order in which the votes were asked for
            *VOTE,
        ]
    ),
)

TABLES = {"labels": SNAPSHOT_LABELS, "quarantine": SNAPSHOT_LABELS, "votes": SNAPSHOT_VOTES}


def contract_of(table: str) -> str:
    """The contract of a table in this version of the software."""
    (name,) = TABLES[table].metadata.values()
    return str(name.decode())
