"""Ordinary rows of pairs v1 as columns of pairs v2, without a loop over rows.

A row is ordinary if its contents are media, then a text that is no mix of texts and places, and if
its hash needs no text kept (see ``pair_fields``). All other rows are for the reader of single rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.pairs.arrow_layouts import Mismatch
from pipeline.pairs.contents import KINDS
from pipeline.pairs.conversations import ROLES
from pipeline.pairs.placing import PLACEHOLDER
from pipeline.pairs.stored_columns import stored_column
from schemas.pairs import CANDIDATE, CONTENT_PART, MEDIA, MESSAGE_V2, PAIRS

Flags = npt.NDArray[np.bool_]  # one a row
Whole = tuple[dict[str, pa.Array], Flags]  # columns, and the rows for which they hold


def question(batch: pa.RecordBatch) -> Whole:
    """``messages``: a prompt with its media, or a conversation without any.

    Raises:
        Mismatch: a column is not as pairs v1 stores it.
    """
    prompt, said = _column(batch, "prompt"), _column(batch, "messages")
    media = [_column(batch, f"{kind}s") for kind in KINDS]
    alone = _filled(prompt) & (_lengths(said) == 0)
    ordinary = alone & ~_ask_for_places(prompt, media)
    messages = _lists(range(len(batch) + 1), _messages("user", _contents(prompt, media)))
    if not alone.all():
        offsets = np.concatenate([[0], np.cumsum(_lengths(said))])
        turns = said.flatten()
        roles, texts = pc.struct_field(turns, "role"), pc.struct_field(turns, "content")
        conversations = _lists(offsets, _messages(roles, _contents(texts, [])))
        messages = pc.if_else(pa.array(alone), messages, conversations)
        ordinary |= _flags(prompt.is_null()) & _plain(said, roles, texts) & ~_any(media)
    return {"messages": messages, "hashed_question": pa.nulls(len(batch), pa.string())}, ordinary


def answers(batch: pa.RecordBatch) -> Whole:
    """``candidates`` of two responses; raises as :func:`question` does."""
    scores = _column(batch, "gold_scores")
    both = [_column(batch, name) for name in ("response_a", "response_b")]
    size = len(batch)
    by_row = np.arange(2 * size).reshape(2, -1).T.ravel()  # a and b of the first row, …
    responses = pa.concat_arrays(both).take(pa.array(by_row))
    text = pc.struct_field(responses, "text")
    media = [pc.struct_field(responses, f"{kind}s") for kind in KINDS]
    empty = _flags(pc.equal(pc.binary_length(text), 0))  # no part says that a text is empty
    fits = ~(empty | _ask_for_places(text, media)).reshape(-1, 2).any(axis=1)
    parts = [_contents(text, media), pc.struct_field(responses, "model")]
    made = pa.StructArray.from_arrays(parts, fields=list(CANDIDATE), mask=responses.is_null())
    columns = {
        "candidates": _lists(range(0, 2 * size + 1, 2), made),
        "gold_scores": pa.nulls(size, scores.type),
        "hashed_answers": pa.nulls(size, pa.string()),
    }
    return columns, fits & ~_any([_column(batch, "candidates"), scores])


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column as pairs v1 has it; nulls if it is not there.

    Raises:
        Mismatch: its type is another, or its values are damaged.
    """
    kind = PAIRS.field(name).type
    if name not in batch.schema.names:
        return pa.nulls(len(batch), kind)
    array = batch.column(name)
    if pa.types.is_struct(array.type) and array.type.get_field_index("text") < 0:
        raise Mismatch(f"column {name!r}: got {array.type}, expected a text")
    made = stored_column(array, kind)
    try:
        made.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Mismatch(f"column {name!r}: {error}") from error
    return made


def _plain(said: pa.Array, roles: pa.Array, texts: pa.Array) -> Flags:
    """Which conversations have texts by known roles alone, and are no mere prompt."""
    lengths = _lengths(said)
    known = _flags(pc.is_in(roles, pa.array(ROLES))) & _flags(texts.is_valid())
    by_user = _flags(pc.equal(roles, "user"))
    rows = np.repeat(np.arange(len(said)), lengths)
    plain: Flags = lengths > 0
    plain[rows[~known | (by_user & (lengths == 1)[rows])]] = False
    return plain


def _messages(roles: pa.Array | str, contents: pa.Array) -> pa.Array:
    roles = pa.repeat(roles, len(contents)) if isinstance(roles, str) else roles
    return pa.StructArray.from_arrays([roles, contents], fields=list(MESSAGE_V2))


def _contents(text: pa.Array, media: Sequence[pa.Array]) -> pa.Array:
    """Of each row, its pictures, its clips, and its text unless that is empty."""
    filled = _filled(text)
    lengths = [*(_lengths(each) for each in media), filled.astype(np.int64)]
    items = [*(_items(each) for each in media), text.filter(pa.array(filled))]
    names = [*KINDS[: len(media)], "text"]
    rows = np.concatenate([np.repeat(np.arange(len(text)), each) for each in lengths])
    order = np.argsort(rows, kind="stable")
    kinds = np.repeat(np.arange(len(items)), [*map(len, items)])[order]
    fields = {"type": pa.array(names).take(pa.array(kinds))}
    for number, name in enumerate(names):
        if len(items[number]):
            fields[name] = _among(items[number], kinds == number)
    columns = [
        fields[field.name] if field.name in fields else pa.nulls(len(rows), field.type)
        for field in CONTENT_PART
    ]
    parts = pa.StructArray.from_arrays(columns, fields=list(CONTENT_PART))
    return _lists(np.cumsum([0, *np.sum(lengths, axis=0)]), parts)


def _among(items: pa.Array, places: Flags) -> pa.Array:
    """All items in order, each at one of the places, nulls elsewhere; their bytes are shared."""
    valid = places.copy()
    valid[places] = _flags(items.is_valid())
    if pa.types.is_struct(items.type):
        parts = [_among(items.field(n), places) for n in range(items.type.num_fields)]
        fields = list(items.type)
        return pa.StructArray.from_arrays(parts, fields=fields, mask=pa.array(~valid))
    _, ends, data = items.buffers()
    offsets = np.frombuffer(ends, np.int32)[items.offset : items.offset + len(items) + 1]
    at = offsets[np.concatenate([[0], np.cumsum(places)])]
    buffers = [pa.array(valid).buffers()[1], pa.py_buffer(at), data]
    return pa.Array.from_buffers(items.type, len(places), buffers)


def _items(lists: pa.Array) -> pa.Array:
    """The media of lists; one without bytes and path is missing."""
    if lists.null_count == len(lists):
        return pa.nulls(0, MEDIA)
    items = lists.flatten()
    parts = [pc.struct_field(items, field.name) for field in MEDIA]
    return pa.StructArray.from_arrays(parts, fields=list(MEDIA), mask=pa.array(~there(items)))


def there(media: pa.Array) -> Flags:
    """Which media have bytes or a path."""
    data, path = (pc.struct_field(media, field.name) for field in MEDIA)
    return _flags(data.is_valid()) | _filled(path)


def _ask_for_places(text: pa.Array, media: Sequence[pa.Array]) -> Flags:
    """Whether media may stand at placeholders of a text."""
    held = _any(media)
    if not held.any():
        return held
    return held & _flags(pc.match_substring_regex(text, PLACEHOLDER.pattern))


def _any(lists: Sequence[pa.Array]) -> Flags:
    """Whether one of a row's lists has items."""
    flags: Flags = np.any([_lengths(each) > 0 for each in lists], axis=0)
    return flags


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    """How many items each list has; 0 of null."""
    if lists.null_count == len(lists):
        return np.zeros(len(lists), np.int64)
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return np.asarray(lengths).astype(np.int64)


def _filled(texts: pa.Array) -> Flags:
    """Whether there is a text that is not empty."""
    return _flags(pc.greater(pc.binary_length(texts), 0))


def _flags(array: pa.Array) -> Flags:
    """Null is false."""
    return np.asarray(pc.fill_null(array, False) if array.null_count else array, bool)


def _lists(offsets: Sequence[int] | npt.NDArray[np.int64], items: pa.Array) -> pa.Array:
    at = pa.array(offsets, pa.int32())
    return pa.ListArray.from_arrays(at, items, type=pa.list_(items.type))
