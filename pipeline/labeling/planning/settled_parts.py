"""Which parts may have rows that are to be asked about again, by what the label index says."""

from __future__ import annotations

from pipeline.judging.asking import asking_of, without_narrow
from pipeline.judging.judge_cards import judge_of, read_card
from pipeline.judging.renderings import FIRST
from pipeline.labeling.open_rows import OpenRows
from pipeline.parts.label_index import LabelIndex, open_index
from pipeline.store.object_store import Store


def unsettled_parts(
    output: Store,
    judge_id: str,
    asking: str,
    index: LabelIndex | None = None,
    open_rows: OpenRows | None = None,
) -> dict[str, str]:
    """Parts that say they were asked about in another way: the key of each, and this run's way.

    Parts of labels v1 do not say it: their judge was asked as its card has it. Parts that state no
    narrow kinds are taken as asked alike: which of their rows have some is not known.

    Args:
        output: the output root.
        judge_id: the judge.
        asking: of this run.
        index: the newest one; by default what is stored.
        open_rows: which rows a tier of a cascade is asked about; all by default.

    Raises:
        InputError: the judge's card, or the index, is damaged.
        StorageError: the store fails.
    """
    if index is None:
        index = open_index(output, judge_id)
    card = read_card(output, judge_id)
    before = judge_of(card) if card else None
    unstated = without_narrow(asking_of(before, FIRST)) if before else ""
    alike = {asking, without_narrow(asking)}
    if open_rows is not None:
        stated = dict(index.part_keys())
        today = open_rows.askings(asking, stated)
        return {key: now for key, now in today.items() if stated[key] != now}
    if all((stated or unstated) in alike for stated in index.state.askings):
        return {}
    parts = index.part_keys()
    return {key: asking for key, stated in parts if (stated or unstated) not in alike}
