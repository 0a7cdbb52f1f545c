"""Writes one part: labels joined with their pairs, media and all, in the trainer's format."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.export import export_rules as rules
from pipeline.export.begun_files import begin, remove_if_forgotten
from pipeline.export.cross_fitted import CrossFitted
from pipeline.export.export_file import RowFile
from pipeline.export.export_media import ExportMedia, MediaDropped, MisjoinedError
from pipeline.export.export_parts import RECEIPT_VERSION, ExportPart, PartReceipt, PartSpec, Piece
from pipeline.export.joined_rows import Row, joined_rows, misjoined
from pipeline.export.labeled_example import Answer, Example, confidence_of
from pipeline.export.ranked_rows import RankedRows, place_of
from pipeline.pairs.contents import Message, Part, media_of, question_parts
from pipeline.pairs.prompts import cluster_key
from pipeline.pairs.shards import of_one_version
from pipeline.runtime.errors import InputError
from schemas.labels import BY_GOLD
from schemas.pairs import GOLD_VALUES

_LABEL_COLUMNS = (
    *("label_id", "pair_hash", "status", "preference"),
    *("margin", "scores", "confidence", "p_a", "cluster", "rubric", "decided_by", "judge_id"),
)


def write_part(spec: PartSpec, part: ExportPart) -> PartReceipt:
    """Writes a part, unless it is there.

    Raises:
        InputError: labels and pairs do not fit together; or media, if the export is strict; or the
            snapshot was removed meanwhile.
        StorageError: a store fails; nothing of the part is visible then.
    """
    if (done := _written(spec, part)) is not None:
        return done
    writing = _Writing(spec, part.number)
    try:
        for _, pieces in itertools.groupby(part.pieces, lambda piece: piece.shard.number):
            writing.write(list(pieces))
        writing.end_set()
        receipt = writing.finish()
        spec.output.put(part.receipt_key(spec.folder), receipt.to_json())
    except BaseException:
        writing.abort()
        raise
    finally:  # where it failed, too: since files of the snapshot went, say
        remove_if_forgotten(spec.output, spec.folder, spec.snapshot_id, writing.paths)
    return receipt


def _written(spec: PartSpec, part: ExportPart) -> PartReceipt | None:
    """The receipt of a part whose files are all there."""
    key = part.receipt_key(spec.folder)
    if spec.output.size(key) is None:
        return None
    try:
        receipt = PartReceipt.parse(spec.output.read(key))
    except (ValueError, TypeError, KeyError):
        return None
    current = receipt.export_id == spec.export_id and receipt.version == RECEIPT_VERSION
    whole = current and all(
        spec.output.size(f"{spec.folder}/{record['path']}") == record["bytes"]
        for _, _, record in receipt.files
    )
    return receipt if whole else None


@dataclass
class _Writing:
    """A part being written."""

    spec: PartSpec
    number: int
    files: dict[tuple[str, str], RowFile] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = self.spec
        self.receipt = PartReceipt(spec.export_id, self.number)
        self._media = ExportMedia(
            spec.output,
            spec.folder,
            spec.media_roots,
            spec.max_media_bytes,
            spec.modes,
            paths_only=() if spec.format.inline_videos else ("video",),
        )
        self._schema = spec.format.schema(spec.shape)
        self._set: RankedRows | None = None  # that the rows before this one are of

    def write(self, pieces: Sequence[Piece]) -> None:
        """Writes the kept rows of pieces of one shard.

        Raises:
            ShardChangedError: it was rewritten since it was listed.
        """
        spec, shard = self.spec, pieces[0].shard
        self._unseen = CrossFitted(spec.output, shard, spec.labelers)
        kept = np.zeros(shard.rows, np.bool_)
        for piece in pieces:
            piece.mark(kept)
        label_columns = (*_LABEL_COLUMNS, *spec.format.label_columns)
        add = self._add if spec.format.holds == "rankings" else self._write
        read = (spec.columns, label_columns, kept, spec.read_seconds)
        with of_one_version(spec.source, shard.entry):
            for row in joined_rows(spec.output, spec.source, shard, *read):
                try:
                    add(row.pair, row.label)
                except MisjoinedError as error:
                    raise misjoined(row.where, str(error)) from error
                except MediaDropped as error:
                    if spec.config.media.strict:
                        raise InputError(
                            f"{row.where}: {error.reason}: {error.detail}; restore it, or drop "
                            "such rows (export.media.strict=false)"
                        ) from error
                    self._drop(error.reason, f"{row.where}: {error.detail}")

    def end_set(self) -> None:
        """Writes the ranking of the ranked set at hand, or counts its labels as dropped."""
        ended, self._set = self._set, None
        if ended is None:
            return
        ranking = None if ended.problem else ended.ranking()
        if ranking is None:
            reason, detail = ended.problem or (rules.INCOMPLETE, "")
            self._drop(reason, detail, ended.labels)
            return
        tier = self.spec.config.selection.tier_of(ended.confidence) or ""
        example = ended.example(ranking, self._split(ended.first), tier)
        self._write_rows(example)
        self._count(example, 0, ended.labels)

    def finish(self) -> PartReceipt:
        """Completes all files."""
        for tier, split in sorted(self.files):
            record = self.files[tier, split].finish()
            del self.files[tier, split]
            self.receipt.files.append((tier, split, record))
        return self.receipt

    @property
    def paths(self) -> set[str]:
        """All files of the part so far, media included; those that were given up, too."""
        complete = {record["path"] for _, _, record in self.receipt.files}
        path = self.spec.format.path
        begun = {path(tier, split, self.number) for tier, split in self.files}
        return complete | begun | self._media.paths

    def abort(self) -> None:
        """Gives up all files that are not complete."""
        for file in self.files.values():
            file.abort()

    def _write(self, pair: Row, label: Row) -> None:
        """Writes a row, or counts it as dropped."""
        sign = rules.length_sign(pair, label["preference"])
        reason = self._refused(pair, label, sign)
        if reason is not None:
            self._drop(reason)
            return
        decided = label["preference"] is not None and label["decided_by"] != BY_GOLD
        if self.spec.shape.soft and decided and label["p_a"] is None:
            raise InputError(
                f"{pair['pair_id']}: export.soft_labels: its label has no calibrated probability "
                "p_a; publish a snapshot whose labels are all derived with the calibration"
            )
        asked, answers = self._media.of_row(pair, label["pair_hash"], label["rubric"])
        spec, selection = self.spec, self.spec.config.selection
        own_gold = pair["gold"] in GOLD_VALUES or label["pair_hash"] in spec.calibrated
        unseen = self._unseen.p_a(pair, label) if own_gold and spec.shape.soft else None
        example = Example(
            pair_id=pair["pair_id"],
            prompt=messages_of(pair, asked),
            answers=_answers(pair["candidates"], answers, label),
            label=label,
            source=pair["source"],
            split=self._split(pair),
            tier=selection.tier_of(confidence_of(label)) or "",
            own_gold=own_gold and unseen is None,
            p_a_unseen=unseen,
        )
        self._write_rows(example)
        self._count(example, sign)
        self.receipt.decided[label["decided_by"] or ""] += 1
        if not example.tie:
            self._count_preference(example, pair)

    def _add(self, pair: Row, label: Row) -> None:
        """Adds a row to the ranked set at hand, or begins another one with it."""
        place = place_of(pair)
        prompt: list[Message] = []
        answers: list[Answer] = []
        if (reason := self._refused(pair, label, 0)) is None and not place.all_letters:
            reason = rules.NO_SET
        problem = None if reason is None else (reason, "")
        if problem is None:
            try:
                asked, contents = self._media.of_row(pair, label["pair_hash"], label["rubric"])
            except MediaDropped as error:
                if self.spec.config.media.strict:
                    raise
                problem = error.reason, f"{pair['pair_id']}: {error.detail}"
            else:
                prompt = messages_of(pair, asked)
                answers = _answers(pair["candidates"], contents, label)
        if self._set is None or not self._set.takes(place, prompt, answers):
            self.end_set()
            self._set = RankedRows(place, pair)
        self._set.add(place, prompt, answers, label, problem)

    def _write_rows(self, example: Example) -> None:
        file = self._file(example.tier, example.split)
        for row in self.spec.format.rows(example, self.spec.shape):
            file.write(row)

    def _refused(self, pair: Row, label: Row, sign: int) -> str | None:
        """Why the format or the balance of lengths does not take a row; None if they do."""
        format_, strip = self.spec.format, self.spec.config.media.strip
        asked = question_parts(pair)
        if media_of(asked, "image") and not format_.images and not strip:
            return rules.HAS_IMAGES
        if media_of(asked, "video") and not format_.videos and not strip:
            return rules.HAS_VIDEOS
        same = label["decided_by"] == BY_GOLD and equal_candidates(pair)
        if same and not format_.ties:  # trainers learn nothing of it, and some refuse it
            return rules.SIMILAR
        if format_.alternating and not _alternates(pair["messages"]):
            return rules.TURNS
        balance = self.spec.balance
        if balance is None or sign != balance.sign:
            return None
        random = rules.random_number("length", str(self.spec.config.seed), label["label_id"])
        return rules.LENGTH if random >= balance.share * 2**64 else None

    def _split(self, pair: Row) -> str:
        """Rows of one prompt are all in the same split."""
        config = self.spec.config
        with_media = config.selection.prompt_identity == "text_and_media"
        prompt = rules.prompt_number(pair, config.seed, with_media)
        return "validation" if rules.in_validation(prompt, config.validation) else "train"

    def _file(self, tier: str, split: str) -> RowFile:
        if (tier, split) not in self.files:
            path = self.spec.format.path(tier, split, self.number)
            begin(self.spec.output, self.spec.folder, f"{self.number:05d}", [path])
            file = RowFile(self.spec.output, self.spec.folder, path, self._schema)
            self.files[tier, split] = file
        return self.files[tier, split]

    def _count(self, example: Example, sign: int, labels: int = 1) -> None:
        receipt = self.receipt
        receipt.kept[f"{example.tier}/{example.split}"] += labels
        receipt.sources[example.source or ""] += labels
        receipt.longer += sign > 0
        receipt.shorter += sign < 0

    def _count_preference(self, example: Example, pair: Row) -> None:
        """Counts a preference, and whether people share it, for the noise of labels."""
        receipt, p = self.receipt, example.p_stated
        preferred, stated = example.label["preference"], 0.0 if p is None else 1 - p
        if preferred is None or example.by_gold:  # a score, a ranking; or no judge's label
            return
        receipt.preferences += 1
        receipt.calibrated += p is not None
        receipt.stated += stated
        if pair["gold"] in GOLD_VALUES:
            key = str(cluster_key(example.label["cluster"], pair["messages"]))
            counts = receipt.gold.setdefault(key, [0, 0, 0.0])
            for place, value in enumerate((1, pair["gold"] != preferred, stated)):
                counts[place] += value

    def _drop(self, reason: str, detail: str = "", labels: int = 1) -> None:
        self.receipt.dropped[reason] += labels
        if detail:
            self.receipt.details.setdefault(reason, detail)


def equal_candidates(pair: Row) -> bool:
    """Whether both candidates are the same."""
    first, second = (each and each["content"] for each in pair["candidates"])
    return bool(first == second)


def messages_of(pair: Row, asked: Sequence[Sequence[Part]]) -> list[Message]:
    """A pair's messages with their contents as they are exported."""
    return [
        {"role": each["role"], "content": content}
        for each, content in zip(pair["messages"], asked, strict=True)
    ]


def _answers(
    candidates: Sequence[Row | None], contents: Sequence[Sequence[Part]], label: Row
) -> list[Answer]:
    scores = label["scores"] or [None] * len(candidates)
    return [
        Answer("abcdefghij"[number], content, each["model"] if each else None, score)
        for number, (each, content, score) in enumerate(
            zip(candidates, contents, scores, strict=True)
        )
    ]


def _alternates(prompt: Sequence[Row]) -> bool:
    # What a tool answers stands where the user's words do.
    roles = ["user" if each["role"] == "tool" else each["role"] for each in prompt]
    roles = roles[1:] if roles[0] == "system" else roles
    expected = itertools.cycle(("user", "assistant"))
    return len(roles) % 2 == 1 and all(r == e for r, e in zip(roles, expected, strict=False))
