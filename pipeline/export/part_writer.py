"""Writes one part: labels joined with their pairs, media and all, in the trainer's format."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.export import selection_rules as rules
from pipeline.export.examples import Answer, Example, in_validation, messages_of, prompt_number
from pipeline.export.export_media import ExportMedia, MediaDropped, MisjoinedError, Shown
from pipeline.export.export_parts import ExportPart, PartReceipt, PartSpec, Piece
from pipeline.export.joined_rows import JoinedRows, misjoined
from pipeline.export.row_file import RowFile
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError
from pipeline.store.object_store import Store

_LABEL_COLUMNS = (
    *("label_id", "pair_hash", "status", "preference"),
    *("margin", "scores", "confidence"),
)
Row = dict[str, Any]


def write_part(spec: PartSpec, part: ExportPart) -> PartReceipt:
    """Writes a part, unless it is there.

    Raises:
        InputError: labels and pairs do not fit together; or media, if the export is strict.
        StorageError: a store fails; nothing of the part can be seen then.
    """
    output = Store(spec.output_uri)
    if (done := _result(output, spec, part)) is not None:
        return done
    writing = _Writing(spec, part.number, output)
    try:
        for _, pieces in itertools.groupby(part.pieces, lambda piece: piece.entry.key):
            writing.write(list(pieces))
        result = writing.finish()
    except BaseException:
        writing.abort()
        raise
    output.put(part.result_key(spec.folder), result.to_json())
    return result


def _result(output: Store, spec: PartSpec, part: ExportPart) -> PartReceipt | None:
    """The unit result of a part that is whole."""
    key = part.result_key(spec.folder)
    if output.size(key) is None:
        return None
    try:
        result = PartReceipt.parse(output.read(key))
    except (ValueError, TypeError, KeyError):
        return None
    whole = result.export_id == spec.export_id and all(
        output.size(f"{spec.folder}/{record['path']}") == record["bytes"]
        for _, _, record in result.files
    )
    return result if whole else None


@dataclass
class _Writing:
    """A part being written."""

    spec: PartSpec
    number: int
    output: Store
    files: dict[tuple[str, str], RowFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = self.spec
        self.result = PartReceipt(spec.export_id, self.number)
        paths_only = () if spec.format.inline_videos else ("videos",)
        self._media = ExportMedia(
            self.output,
            spec.folder,
            spec.media_roots,
            spec.max_media_bytes,
            spec.modes,
            paths_only,
        )
        self._schema = spec.format.schema(spec.shape)
        label_columns = (*_LABEL_COLUMNS, *spec.format.label_columns)
        source = Store(spec.input_uri)
        self._rows = JoinedRows(self.output, source, spec.columns, label_columns)

    def write(self, pieces: Sequence[Piece]) -> None:
        """Writes the kept rows of pieces of one shard."""
        for row in self._rows.read(pieces):
            try:
                self._write(row.pair, row.label)
            except MisjoinedError as error:
                raise misjoined(row.where, str(error)) from error
            except MediaDropped as error:
                if self.spec.config.media.strict:
                    raise InputError(
                        f"{row.where}: {error.reason}: {error.detail}; restore it, or let such "
                        "rows be dropped (export.media.strict=false)"
                    ) from error
                self._drop(error.reason, f"{row.where}: {error.detail}")

    def finish(self) -> PartReceipt:
        """Completes all files."""
        for tier, split in sorted(self.files):
            record = self.files[tier, split].finish()
            del self.files[tier, split]
            self.result.files.append((tier, split, record))
        return self.result

    def abort(self) -> None:
        """Gives up all files that are not complete."""
        for file in self.files.values():
            file.abort()

    def _write(self, pair: Row, label: Row) -> None:
        """Writes a row, or counts it as dropped."""
        config, format_ = self.spec.config, self.spec.format
        prompt = messages_of(pair)
        reason = self._refused(pair, prompt, label)
        if reason is not None:
            self._drop(reason)
            return
        responses = _responses(pair)
        shown, of_responses = self._media.of_row(pair, responses, label["pair_hash"])
        identity = config.selection.prompt_identity == "text_and_media"
        validation = in_validation(prompt_number(pair, config.seed, identity), config.validation)
        example = Example(
            pair_id=pair["pair_id"],
            prompt=prompt,
            images=shown.images,
            videos=shown.videos,
            answers=_answers(responses, of_responses, label),
            label=label,
            source=pair["source"],
            split="validation" if validation else "train",
            tier=config.selection.tier_of(label["confidence"] or 0.0) or "",
        )
        file = self._file(example.tier, example.split)
        for row in format_.rows(example, self.spec.shape):
            file.write(row)
        self._count(example)

    def _refused(self, pair: Row, prompt: list[dict[str, str]], label: Row) -> str | None:
        """Why the format or the balance of lengths does not take a row; None if they do."""
        format_, strip = self.spec.format, self.spec.config.media.strip
        if pair["images"] and not format_.images and not strip:
            return rules.HAS_IMAGES
        if pair["videos"] and not format_.videos and not strip:
            return rules.HAS_VIDEOS
        if format_.alternating and not _alternates(prompt):
            return rules.TURNS
        balance, preference = self.spec.balance, label["preference"]
        if balance is None or preference is None:
            return None
        a, b = (pair[name]["text"] or "" for name in ("response_a", "response_b"))
        sign = rules.length_sign(a, b) * (1 if preference == "a" else -1)
        draw = int(digest("length", str(self.spec.config.seed), label["label_id"])[:16], 16)
        beyond = sign == balance.sign and draw >= balance.share * 2**64
        return rules.LENGTH if beyond else None

    def _file(self, tier: str, split: str) -> RowFile:
        if (tier, split) not in self.files:
            path = self.spec.format.path(tier, split, self.number)
            file = RowFile(self.output, self.spec.folder, path, self._schema)
            self.files[tier, split] = file
        return self.files[tier, split]

    def _count(self, example: Example) -> None:
        result = self.result
        result.kept[f"{example.tier}/{example.split}"] += 1
        if example.confidence is not None:
            result.uncertainty += 1 - example.confidence
            result.sure += 1
        result.sources[example.source or ""] += 1
        if example.label["preference"] is not None:
            sign = rules.length_sign(example.chosen.text, example.rejected.text)
            result.longer += sign > 0
            result.shorter += sign < 0

    def _drop(self, reason: str, detail: str = "") -> None:
        self.result.dropped[reason] += 1
        if detail:
            self.result.details.setdefault(reason, detail)


def _responses(pair: Row) -> list[Row]:
    return list(pair["candidates"] or (pair["response_a"], pair["response_b"]))


def _answers(responses: Sequence[Row], shown: Sequence[Shown], label: Row) -> list[Answer]:
    scores = label["scores"] or [None] * len(responses)
    return [
        Answer(
            letter="abcdefghij"[number],
            text=response["text"] or "",
            images=media.images,
            videos=media.videos,
            model=response["model"],
            score=score,
        )
        for number, (response, media, score) in enumerate(
            zip(responses, shown, scores, strict=True)
        )
    ]


def _alternates(prompt: list[dict[str, str]]) -> bool:
    roles = [message["role"] for message in prompt]
    roles = roles[1:] if roles[0] == "system" else roles
    expected = itertools.cycle(("user", "assistant"))
    return len(roles) % 2 == 1 and all(r == e for r, e in zip(roles, expected, strict=False))


@dataclass(frozen=True)
class WriteStage:
    """The writer as Ray Data calls it: parts in, unit results out."""

    spec: PartSpec
    __name__: str = "write_part"

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for data in batch["task"].to_pylist():
            result = write_part(self.spec, pickle.loads(data))
            yield pa.table({"result": pa.array([pickle.dumps(result)], pa.large_binary())})
