"""Pairs: one row is one multimodal preference pair to be judged.

pairs v2 has a conversation of messages, each made of parts in the order in which a person sees
them, so that a picture or clip stands where it stood; candidates are made of such parts too. In
pairs v1, media stand before the text of the question or the response.

In pairs v1, formats that score one candidate or rank several read ``candidates`` instead of the
two responses, and are measured against ``gold_scores`` instead of ``gold``.

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


# As chat templates of Hugging Face models take them.
CONTENT_PART = pa.struct(
    [("type", pa.string()), ("text", pa.string()), ("image", MEDIA), ("video", MEDIA)]
)
MESSAGE_V2 = pa.struct([("role", pa.string()), ("content", pa.list_(CONTENT_PART))])
CANDIDATE = pa.struct([("content", pa.list_(CONTENT_PART)), ("model", pa.string())])

PAIRS_V2 = versioned(
    "pairs/v2",
    pa.schema(
        [
            ("pair_id", pa.string()),
            ("messages", pa.list_(MESSAGE_V2)),  # what the candidates answer; the question is last
            ("candidates", pa.list_(CANDIDATE)),  # a and b of a pair; one to score, several to rank
            ("gold", pa.string()),  # one of GOLD_VALUES, or null where no human has judged
            ("gold_scores", pa.list_(pa.float64())),  # a human's, one for each candidate
            ("source", pa.string()),
            ("metadata", pa.list_(ENTRY)),
        ]
    ),
)
