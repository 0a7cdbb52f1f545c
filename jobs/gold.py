"""People's answers about pairs: ``pairmill gold import|export|list --output URI``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.gold import gold_exchange
from pipeline.gold.foreign_answers import QUESTION, ReadAnswers, Words
from pipeline.gold.gold_exchange import FORMATS, FindPairs, Import
from pipeline.gold.gold_rows import gold_rows
from pipeline.gold.gold_sets import checked_name, read_set
from pipeline.judging.row_rubrics import asked_hash, row_rubric
from pipeline.media.media_store import MediaStore
from pipeline.media.pair_contents import PairContents
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.pairs.shards import open_input
from pipeline.runtime.command import Call, Command, Parser
from pipeline.runtime.errors import ConfigError, RowRejected
from pipeline.runtime.steps import new_run_id
from pipeline.snapshots.labeled_pairs import find_labeled, frame_of, store_frame
from pipeline.snapshots.manifests import find_snapshot, read_latest
from pipeline.snapshots.snapshot_reader import open_manifest
from pipeline.store.object_store import Store


def _options(parser: Parser) -> None:
    add = parser.add_argument
    add("action", choices=("import", "export", "list"),
        help="import: answers of another tool, or the gold of pair shards, into a set\n"
        "export: a set's pairs and answers for another tool, or as pair shards with gold\n"
        "list: the sets, and how far people have come")  # fmt: skip
    add("--output", metavar="URI", required=True, help="the output of label and publish")
    add("--name", metavar="NAME", help="which set; import makes it")
    add("--format", choices=FORMATS, default="pairs", help="pairs (default): shards of pairs")
    add("--input", metavar="URI", help="the pairs: with gold, to import it; of a set, to export it")
    add("--file", metavar="FILE", help="the JSON that Label Studio or Argilla has exported")
    add("--to", metavar="FILE|FOLDER", help="what export writes")
    add("--annotator", metavar="NAME", help="whose answers the gold of pairs is (default: gold)")
    add("--annotators", metavar="JSON", help='names for theirs, such as \'{"7": "ann"}\'')
    add("--words", metavar="JSON", help='answers for theirs, such as \'{"Left": "first"}\'')
    add("--question", default=QUESTION, metavar="NAME",
        help=f"of Argilla: the question that asks for the better one ({QUESTION})")  # fmt: skip
    add("--guideline", metavar="FILE", help="Markdown: what people decided by")
    add("--random-of", metavar="ID", help="you state that these pairs were drawn from this\n"
        "snapshot at random, each with the same chance; bounds and audits rest on it")  # fmt: skip


def _run(call: Call[PipelineConfig]) -> int:
    options, config, output = call.options, call.config(), Store(call.options.output)
    if options.action == "list":
        for fields in gold_exchange.list_gold(output):
            call.reporter.event("gold", fields)
        return 0
    name = checked_name(_needed(options.name, "--name", options), "--name")
    if options.action == "import":
        call.reporter.event("imported", _import(options, config, output, name))
    else:
        call.reporter.event("exported", _export(options, config, output, name))
    return 0


def _import(
    options: argparse.Namespace, config: PipelineConfig, output: Store, name: str
) -> dict[str, Any]:
    words = Words.of(options.words, options.annotators)
    guideline = None
    if options.guideline is not None:
        guideline = _read(options.guideline).decode("utf-8", "replace")
    frame = None
    if options.random_of is not None:
        manifest = open_manifest(output, find_snapshot(output, options.random_of))
        frame = frame_of(manifest)
        store_frame(output, name, manifest)
    if options.format == "pairs":
        found = _gold_of_pairs(options, config)
    else:
        file = _needed(options.file, "--file", options)
        found = gold_exchange.read_foreign(options.format, _read(file), file, options.question)
    what = Import(name, options.format, found, words, guideline, frame)
    now = output.host.now().isoformat(timespec="seconds")
    find = _finder(output, frame.snapshot_id if frame else None)
    return gold_exchange.import_answers(output, what, find, now, new_run_id())


def _export(
    options: argparse.Namespace, config: PipelineConfig, output: Store, name: str
) -> dict[str, Any]:
    frames = [draw.frame.input for draw in read_set(output, name).draws if draw.frame]
    given = options.input or (frames[-1] if frames else None)
    input_uri = _needed(given, "--input", options)
    target = _needed(options.to, "--to", options)
    hashed = _hashing(config, input_uri)
    return gold_exchange.export_set(
        output, name, options.format, target, input_uri, config.input, hashed
    )


def _gold_of_pairs(options: argparse.Namespace, config: PipelineConfig) -> ReadAnswers:
    """The gold of shards of pairs, each row identified by its content."""
    input_uri = _needed(options.input, "--input", options)
    found, hashed = ReadAnswers(), _hashing(config, input_uri)

    def rows() -> Iterable[tuple[Mapping[str, Any], str]]:
        for each in gold_rows(input_uri, config.input, "pair"):
            try:
                yield each.pair, hashed(each.pair)
            except RowRejected as error:
                found.unread[f"rows whose media cannot be read: {error.reason.value}"] += 1

    found.answers = gold_exchange.answers_in_pairs(rows(), options.annotator or "gold")
    if not found.answers:
        raise ConfigError(
            f"--input {input_uri}: no row has gold that is a, b or tie; map it under input.map.gold"
        )
    return found


def _hashing(config: PipelineConfig, input_uri: str) -> Callable[[Mapping[str, Any]], str]:
    roots = (*config.input.media_roots, open_input(input_uri)[0].uri)
    media = MediaStore(roots, config.judge.media.max_bytes)
    judge = config.judge
    return lambda row: asked_hash(PairContents.of(row, media).pair_hash, row_rubric(row, judge))


def _finder(output: Store, snapshot_id: str | None) -> FindPairs:
    """Looks pairs up in a snapshot, by default in the live one; finds none before the first."""
    if snapshot_id is None:
        latest = read_latest(output)
        if latest is None:
            return lambda hashes, ids: ()
        snapshot_id = latest.snapshot_id
    manifest = open_manifest(output, snapshot_id)
    return lambda hashes, ids: find_labeled(output, manifest, set(hashes), set(ids))


def _read(file: str) -> bytes:
    store, key = gold_exchange.file_of(file)
    return store.read(key)


def _needed(value: str | None, option: str, options: argparse.Namespace) -> str:
    if value is None:
        raise ConfigError(f"gold {options.action} --format {options.format}: {option} is missing")
    return value


COMMAND = Command(
    name="gold",
    text="People's answers about pairs, kept with the labels under gold/<set>: one object an\n"
    "answer, never replaced. What several people say about a pair comes together as one answer;\n"
    "gold.set NAME has calibrate, evaluate, the gate and canaries count it as gold.\n"
    "Label Studio and Argilla: tasks go out with the sides in a random order and come back as\n"
    "what the tool exports; pairs are known by pair_hash, or by the pair_id of a published label.",
    example="import --output s3://bucket/labels --name audit-1 --format label-studio "
    "--file export.json",
    settings=PipelineConfig,
    example_setting="--input.layout trl",
    add_options=_options,
    run=_run,
    exits=(0, 2),
    left="what was stored stays, and the same command stores the rest",
)
main = COMMAND.main

if __name__ == "__main__":
    sys.exit(main())
