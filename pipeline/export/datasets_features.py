"""The ``huggingface`` metadata that makes ``datasets`` load pictures as pictures.

Written in the form that every release of ``datasets`` since 2.19 reads: lists as JSON lists (its
``List`` and ``Sequence`` are newer).
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from schemas.pairs import MEDIA, MESSAGE

IMAGES = pa.list_(MEDIA)  # nullable, bytes first: exactly what the `Image` feature reads
MESSAGES = pa.list_(MESSAGE)


def with_features(schema: pa.Schema, pictures: bool = True) -> pa.Schema:
    """The schema with its features, in which ``MEDIA`` are pictures if ``pictures`` is true."""
    features = {field.name: _feature(field.type, pictures) for field in schema}
    return schema.with_metadata({b"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType, pictures: bool) -> Any:
    if pictures and kind == MEDIA:
        return {"_type": "Image"}
    if pt.is_list(kind):
        return [_feature(kind.value_type, pictures)]
    if pt.is_struct(kind):
        return {field.name: _feature(field.type, pictures) for field in kind}
    return {"dtype": _NAMES.get(kind, str(kind)), "_type": "Value"}


_NAMES = {pa.float64(): "float64", pa.float32(): "float32", pa.bool_(): "bool"}
