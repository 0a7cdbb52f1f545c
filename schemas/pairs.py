"""pairs v1: one row is one multimodal preference pair to be judged.

Formats that score one candidate or rank several read ``candidates`` instead of the two responses,
and are measured against ``gold_scores`` instead of ``gold``.

The media struct is nullable and bytes-first: exactly what Hugging Face's ``Image`` feature
reads, so a pair shard loads in ``datasets`` with its pictures.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.contract import versioned

MEDIA = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
RESPONSE = pa.struct(
    [
        ("text", pa.string()),
        ("images", pa.list_(MEDIA)),
        ("videos", pa.list_(MEDIA)),
        ("model", pa.string()),
    ]
)

# Key and value, as a struct: `datasets` cannot load Arrow's map type (which readers also accept).
ENTRY = pa.struct([("key", pa.string()), ("value", pa.string())])

GOLD_VALUES = ("a", "b", "tie")

PAIRS = versioned(
    "pairs/v1",
    pa.schema(
        [
            ("pair_id", pa.string()),
            ("prompt", pa.string()),  # the question, or null where `messages` holds a conversation
            ("messages", pa.list_(MESSAGE)),
            ("images", pa.list_(MEDIA)),
            ("videos", pa.list_(MEDIA)),
            ("response_a", RESPONSE),
            ("response_b", RESPONSE),
            ("candidates", pa.list_(RESPONSE)),  # one to score or several to rank; null of a pair
            ("gold", pa.string()),  # one of GOLD_VALUES, or null where no human has judged
            ("gold_scores", pa.list_(pa.float64())),  # a human's, one for each candidate
            ("source", pa.string()),
            ("metadata", pa.list_(ENTRY)),
        ]
    ),
)
