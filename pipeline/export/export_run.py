"""Exports a snapshot for a trainer: survey all shards, select rows, write parts, then the record.

An export's folder is named by snapshot, format and what deviates from the defaults; which rows are
in which file follows from these and nothing else. A run that was interrupted is continued with the
parts that are missing; the same export again does nothing.
"""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pipeline.export.begun_files import BESIDE, begin, remove_if_forgotten
from pipeline.export.cross_fitted import labelers_of
from pipeline.export.dataset_card import card_of
from pipeline.export.export_config import ExportConfig
from pipeline.export.export_flow import TaskMap, task_map
from pipeline.export.export_leftovers import remove_leftovers
from pipeline.export.export_part_writer import write_part
from pipeline.export.export_parts import PartReceipt, PartSpec, cut_parts
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.export.export_selection import Selected, Selection
from pipeline.export.formats.format_registry import (
    TRAINER_FORMATS,
    check_calibrated,
    check_format,
    media_modes,
    nothing_left,
)
from pipeline.export.held_out import held_out
from pipeline.export.label_noise import Checked, label_noise, preferences_of
from pipeline.export.shard_survey import Surveyor
from pipeline.export.trainer_format import Shape
from pipeline.judging.judge_cards import judge_of
from pipeline.labeling.label_config import WorkersConfig
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import list_shards, open_input
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import ConfigError, InputError, ReconcileError
from pipeline.runtime.reporter import Reporter
from pipeline.snapshots.manifests import LATEST, find_snapshot, live, read_whole_manifest
from pipeline.snapshots.quality.measure_snapshot import read_quality
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Entry, Store
from schemas.manifest import Manifest

EXPORTS = "exports"
CARD = "README.md"
_LAYOUT = 1  # raise with any change to which rows or bytes an export's files hold
_PROGRESS_S = 10


@dataclass(frozen=True)
class ExportResult:
    """How an export ended.

    Attributes:
        changed: False if it was there already.
    """

    record: ExportRecord
    changed: bool


def export_snapshot(
    output: Store,
    input_uri: str | None,
    snapshot: str,
    config: ExportConfig,
    reporter: Reporter,
    *,
    columns: InputConfig | None = None,
    workers: WorkersConfig | None = None,
) -> ExportResult:
    """Exports a snapshot.

    Args:
        output: the output root of the labeling jobs; the export is written to it.
        input_uri: the pairs; by default the input that the snapshot names.
        snapshot: ``LATEST``, or a snapshot's id, or its first digits.
        config: format, selection and the rest.
        reporter: receives progress.
        columns: the ``input`` section that the pairs were labelled with.
        workers: for Ray on a single machine, if the export is large.

    Raises:
        ConfigError: there is no such snapshot, or the format cannot hold its labels.
        SnapshotOutdatedError: shards changed since it was made.
        InputError: no row is left to export.
        StorageError: a store fails; the export does not exist then.
        PairmillError: see ``pipeline.runtime.errors``.
    """
    manifest = find_manifest(output, snapshot)
    check_format(config, judge_of(dict(manifest.judge)))
    if config.soft_labels:
        check_calibrated(manifest)
    export = _Export(output, input_uri, manifest, config, columns or InputConfig(), reporter)
    if (there := export.existing()) is not None:
        return there
    with task_map(manifest, workers or WorkersConfig(), reporter) as map_tasks:
        return ExportResult(export.run(map_tasks), changed=True)


def find_manifest(output: Store, snapshot: str) -> Manifest:
    """The manifest of a snapshot to export.

    Raises:
        ConfigError: there is no such snapshot, or the gate refused it.
        InputError: nothing is published, or files of the snapshot are not there.
    """
    which = live(output).snapshot_id if snapshot == LATEST else find_snapshot(output, snapshot)
    manifest = read_whole_manifest(output, which)
    if manifest.blocked:
        raise ConfigError(
            f"snapshot {which} was refused by the gate, so that its labels are not exported; "
            "choose another (pairmill publish --list)"
        )
    return manifest


class _Export:
    """One export of one snapshot."""

    def __init__(
        self,
        output: Store,
        input_uri: str | None,
        manifest: Manifest,
        config: ExportConfig,
        columns: InputConfig,
        reporter: Reporter,
    ) -> None:
        self._output, self._manifest, self._config = output, manifest, config
        self._columns, self._reporter = columns, reporter
        self._source, self._prefix = open_input(input_uri or manifest.input)
        self._judge = judge_of(dict(manifest.judge))
        self._reported = time.monotonic()
        asked = config.model_dump(mode="json", exclude_defaults=True, exclude={"format", "card"})
        self._held = held_out(output, manifest, config)
        held = self._held.identity
        layout = json.dumps([_LAYOUT, asked, *[held] * bool(held)], sort_keys=True)
        suffix = f"-{digest(layout)[:8]}" if asked or held else ""
        self._folder = f"{EXPORTS}/{manifest.snapshot_id}/{config.format}{suffix}"
        self._id = digest(manifest.snapshot_id, config.format, layout, columns.mapping_json())

    def existing(self) -> ExportResult | None:
        """The same export if it exists, with its card rewritten if the card's settings changed.

        Raises:
            ConfigError: a different export has its folder.
        """
        key = f"{self._folder}/{NAME}"
        if self._output.size(key) is None:
            return None
        record = ExportRecord.parse(self._output.read(key), self._output.path(key))
        if record.export_id == self._id:
            card = self._config.model_dump(mode="json")["card"]
            if record.config["card"] == card:
                return ExportResult(record, changed=False)
            record = replace(record, config={**record.config, "card": card})
            return ExportResult(self._finish(record), changed=True)
        raise ConfigError(
            f"{self._output.path(self._folder)}: this export was made with another input.map, or "
            "by another version of this software; remove the folder to export again"
        )

    def run(self, map_tasks: TaskMap) -> ExportRecord:
        """Surveys all shards, writes all parts, then the record."""
        contents = ContentKeys(self._source, self._output)
        surveyor = Surveyor(
            self._output,
            self._source,
            self._columns.mapping(),
            self._columns.read_seconds,
            self._config,
            contents,
            self._held,
        )
        selection = Selection(self._manifest, self._entries(), self._config, surveyor)
        selected = selection.run(map_tasks, self._step)
        contents.save()
        if not selected.rows:
            raise nothing_left(self._manifest, self._config.format, selected.dropped, {})
        shape = self._shape(selected)
        size, rows = self._config.file_mb * 2**20, self._config.file_rows
        parts = list(cut_parts(selection.ranges(selected), size, rows))
        write = functools.partial(write_part, self._spec(shape, selected))
        receipts: list[tuple[PartReceipt, Checked]] = []
        for receipt in map_tasks(parts, write):
            checked, receipt.gold = Checked.of(receipt.gold), {}
            receipts.append((receipt, checked))
            self._step("parts", len(receipts), len(parts))
        receipts.sort(key=lambda each: each[0].number)
        gold = [checked for _, checked in receipts]
        return self._finish(self._record(selected, [each for each, _ in receipts], gold, shape))

    def _entries(self) -> list[Entry]:
        """The input's shards as they are now; none where all that were labelled are gone."""
        try:
            return list_shards(self._source, self._prefix)
        except InputError:
            if self._source.path(self._prefix) != self._manifest.input:
                raise  # another input was given, and is none
            return []

    def _shape(self, selected: Selected) -> Shape:
        return Shape(
            images=selected.images,
            videos=selected.videos,
            in_place=selected.in_place,
            candidates=self._judge.candidates,
            margin=self._judge.declared_format.scores,
            media=media_modes(self._config).get("image", "inline"),
            soft=self._config.soft_labels,
            criteria=self._judge.declared_format.has_criteria,
        )

    def _spec(self, shape: Shape, selected: Selected) -> PartSpec:
        return PartSpec(
            export_id=self._id,
            snapshot_id=self._manifest.snapshot_id,
            output=self._output,
            folder=self._folder,
            source=self._source,
            media_roots=(*self._columns.media_roots, self._source.uri),
            max_media_bytes=self._judge.media.max_bytes,
            modes=media_modes(self._config),
            columns=self._columns.mapping(),
            read_seconds=self._columns.read_seconds,
            config=self._config,
            shape=shape,
            balance=selected.balance,
            calibrated=self._held.calibrated,
            labelers=labelers_of(self._manifest) if self._config.soft_labels else {},
        )

    def _record(
        self,
        selected: Selected,
        receipts: Sequence[PartReceipt],
        gold: Sequence[Checked],
        shape: Shape,
    ) -> ExportRecord:
        kept, dropped, sources = Counter[str](), Counter(selected.dropped), Counter[str]()
        decided = Counter[str]()
        details: dict[str, str] = {}
        for receipt in receipts:
            kept, dropped = kept + receipt.kept, dropped + receipt.dropped
            sources += receipt.sources
            decided += receipt.decided
            details = {**receipt.details, **details}
        if (found := kept.total() + dropped.total()) != self._manifest.rows:
            raise ReconcileError(
                f"{found} rows were exported or dropped, expected {self._manifest.rows}, those of "
                f"snapshot {self._manifest.snapshot_id}; do not use anything of this export"
            )
        files = [
            {"tier": tier, "split": split, **record}
            for receipt in receipts
            for tier, split, record in receipt.files
        ]
        noise = label_noise(
            preferences_of(receipts, gold, selected.gold),
            self._manifest,
            self._judge,
            self._config.selection,
        )
        policy = self._manifest.policy
        promised = policy.bound if policy else None
        return ExportRecord(
            export_id=self._id,
            snapshot_id=self._manifest.snapshot_id,
            judge_id=self._manifest.judge["judge_id"],
            folder=self._folder,
            input=self._source.path(self._prefix),
            config=self._config.model_dump(mode="json"),
            shape=asdict(shape),
            rows=self._manifest.rows,
            kept=dict(sorted(kept.items())),
            dropped=dict(sorted(dropped.items())),
            details=dict(sorted(details.items())),
            epsilon=noise.value,
            longer=sum(receipt.longer for receipt in receipts),
            shorter=sum(receipt.shorter for receipt in receipts),
            sources=dict(sorted(sources.items())),
            files=sorted(files, key=lambda file: file["path"]),
            beside=(),
            snapshot_created_at=self._manifest.created_at,
            epsilon_low=noise.low,
            epsilon_high=noise.high,
            epsilon_basis=noise.basis,
            label_smoothing=noise.smoothing,
            error_bound=promised.sentence if promised else "",
            decided_by=dict(decided.most_common()),
        )

    def _finish(self, record: ExportRecord) -> ExportRecord:
        """Writes the files beside the rows, and the record last of all."""
        if not record.total:
            dropped, details = record.dropped, record.details
            raise nothing_left(self._manifest, record.format, dropped, details)
        format_ = TRAINER_FORMATS[record.format]
        if format_.whole_folders:
            wanted = [file["path"] for file in record.files]
            remove_leftovers(self._output, self._folder, wanted, self._reporter.note)
        beside = format_.beside(record.layout())
        quality = read_quality(self._output, record.snapshot_id)
        card = card_of(record, self._manifest, self._config, quality)
        begin(self._output, self._folder, BESIDE, [*beside, CARD])
        for path, data in {**beside, CARD: card.encode()}.items():
            self._output.put(f"{self._folder}/{path}", data)
        record = replace(record, beside=tuple(sorted([*beside, CARD])))
        try:
            read_whole_manifest(self._output, record.snapshot_id)
            self._output.put(f"{self._folder}/{NAME}", record.to_json())
        finally:
            written = [NAME, *record.beside, *(str(file["path"]) for file in record.files)]
            remove_if_forgotten(self._output, self._folder, record.snapshot_id, written)
        return record

    def _step(self, what: str, done: int, total: int) -> None:
        if time.monotonic() - self._reported > _PROGRESS_S:
            self._reported = time.monotonic()
            self._reporter.event("exporting", {what: done, f"{what}_total": total})
