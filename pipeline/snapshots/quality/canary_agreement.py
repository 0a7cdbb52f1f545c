"""The agreement of a run's canaries: gold pairs that it judged again among the corpus' pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.aggregation.judged_pairs import JudgedPair, read_judged
from pipeline.gold.people import NOBODY, People
from pipeline.labeling.canary_config import CANARIES_FOLDER, canary_root
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.prompts import cluster_key
from pipeline.parts.part_keys import judge_folder
from pipeline.runtime.errors import InputError
from pipeline.snapshots.quality.gold_agreement import of_groups, of_pairs
from pipeline.snapshots.quality.label_counts import LABEL_COLUMNS
from pipeline.stats.tally import Tally
from pipeline.store.object_store import Store
from schemas.manifest import Manifest
from schemas.snapshots import SNAPSHOT_LABELS

CANARY = "canary"  # the prefix of their counts


@dataclass(frozen=True)
class Canary:
    """The canaries of one run.

    Attributes:
        run_id: of the run that judged them, whose parts are under :func:`canary_root`; None for
            the last run that judged canaries with the snapshot's judge.
        input_uri: the gold pairs.
        input: how these are read.
    """

    run_id: str | None
    input_uri: str
    input: InputConfig


def newest_canary_run(output: Store, judge_id: str) -> str | None:
    """The last run that has judged canaries with this judge; run ids begin with their time."""
    folder = f"/parts/{judge_folder(judge_id)}/"
    runs = {
        entry.key.removeprefix(f"{CANARIES_FOLDER}/").partition("/")[0]
        for entry in output.list(CANARIES_FOLDER)
        if folder in entry.key
    }
    return max(runs, default=None)


def canary_judge(output: Store, manifest: Manifest) -> str:
    """The judge whose canaries measure a snapshot: of several, the one that judged some last."""
    if not manifest.judges:
        return str(manifest.judge["judge_id"])
    ids = [str(card["judge_id"]) for card in manifest.judges]
    return max(ids, key=lambda each: newest_canary_run(output, each) or "")


def count_canaries(
    output: Store, canary: Canary, judge_id: str, *, ranked: bool, people: People = NOBODY
) -> Tally:
    """Counts the run's labels of its canaries against their gold.

    Args:
        output: the output root.
        canary: which run's.
        judge_id: of the judge whose labels are counted.
        ranked: whether gold are scores of ranked groups.
        people: answers that count as gold of their pairs, in place of the input's.

    Raises:
        InputError: no canary has both gold and a label of this judge in this run.
        StorageError: the store fails.
    """
    run_id = canary.run_id or newest_canary_run(output, judge_id)
    if run_id is None:
        raise InputError(
            f"{output.path(CANARIES_FOLDER)}: no run has judged canaries with judge "
            f"{judge_id[:16]}; pairmill nightly does, from canary.input"
        )
    try:
        root = canary_root(output, run_id)
        # A set has answers about other pairs, too: canaries need not be among them.
        answers = People(people.gold)
        judged = read_judged(canary.input_uri, canary.input, root, judge_id, output, answers)
    except InputError as error:
        raise InputError(f"no canary of run {run_id} can be used: {error}") from error
    rows = [{name: pair.label[name] for name in LABEL_COLUMNS} for pair in judged]
    schema = pa.schema([SNAPSHOT_LABELS.field(name) for name in LABEL_COLUMNS])
    table = pa.Table.from_pylist(rows, schema=schema)
    keys = [cluster_key(each.label["cluster"], each.pair["messages"]) for each in judged]
    prompts = np.array(keys, np.int64)
    if ranked:
        return of_groups(CANARY, table, _gold(judged, "gold_scores"), prompts)
    return of_pairs(CANARY, table, pa.array(_gold(judged, "gold"), pa.string()), prompts)


def _gold(judged: Sequence[JudgedPair], name: str) -> list[Any]:
    return [pair.pair[name] for pair in judged]
