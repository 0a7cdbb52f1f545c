"""The plan: every shard's rows, minus the rows whose part this judge has committed.

This one anti-join serves resuming after a crash, the nightly increment, and re-judging after a
change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from pipeline.judging.judge_config import JudgeConfig
from pipeline.labeling.open_rows import OpenRows
from pipeline.labeling.planning.committed_shards import CommittedShard, committed_shards
from pipeline.labeling.planning.published_shards import (
    Kind,
    PublishedShards,
    ReadPublished,
    nothing_published,
)
from pipeline.labeling.planning.reopening import Reopening
from pipeline.labeling.planning.shard_planner import ShardPlan, ShardPlanner, Spread, map_threads
from pipeline.labeling.prompt_estimate import estimate_prompt_tokens
from pipeline.labeling.read_pairs import ShardTask
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.known_layouts import AUTO
from pipeline.pairs.layout_proposal import proposal_for_shard
from pipeline.pairs.shards import list_planned, unless_changed
from pipeline.parts.units import subtract
from pipeline.runtime.errors import ConfigError, InputError, ShardChangedError
from pipeline.runtime.fault_blocks import fault_blocks
from pipeline.store.content_keys import ContentKeys
from pipeline.store.object_store import Store


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        votes: least and most votes of a pair.
        judge_id: the judge of the run.
        live: the published shards of this input.
        contents: what identified the shards' versions; to be saved by a run that is not dry.
        prompt_tokens: estimated tokens of one prompt (see ``pipeline.labeling.prompt_estimate``).
        left_out: rows that are not judged, and that this run leaves to another one.
    """

    shards: tuple[ShardPlan, ...] = field(repr=False)
    votes: tuple[int, int]
    judge_id: str
    live: PublishedShards
    contents: ContentKeys = field(repr=False, compare=False)
    prompt_tokens: float = 0
    left_out: int = 0

    @property
    def tasks(self) -> list[ShardTask]:
        """The shards that still have units to do."""
        return [ShardTask(s.entry.key, s.entry.size, s.units) for s in self.shards if s.units]

    @property
    def versions(self) -> dict[str, str]:
        """The keys of all shards, by path."""
        return {shard.entry.key: shard.key for shard in self.shards}

    @property
    def bad_shards(self) -> list[ShardPlan]:
        """Shards that cannot be read at all, or of which no row fits the mapping."""
        return [shard for shard in self.shards if shard.defect]

    @property
    def unread(self) -> list[str]:
        """Columns of some shard that a judge seems meant to see, and that no field reads."""
        return sorted({name for shard in self.shards for name in shard.unread})

    @property
    def settled(self) -> list[str]:
        """The keys of parts that were looked into and have no row to be asked about again."""
        return [key for shard in self.shards for key in shard.settled]

    @property
    def doubled(self) -> list[str]:
        """The keys of parts that do not count, since others hold rows of theirs."""
        return [part.key for shard in self.shards for part in shard.doubled]

    @property
    def rows(self) -> int:
        """Pairs in all readable shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def rows_to_do(self) -> int:
        """Pairs to be judged by this run."""
        return sum(shard.rows_to_do for shard in self.shards)

    @property
    def units(self) -> int:
        """Units to be judged by this run."""
        return sum(len(shard.units) for shard in self.shards)

    def summary(self) -> dict[str, int]:
        """The plan in numbers.

        A shard to do is new, moved (published under another path: its rows reuse their labels),
        changed (only rows that changed are judged), stale (labelled by another judge) or
        unfinished. Deleted shards are not in the next snapshot.
        """
        kinds: dict[Kind, list[ShardPlan]] = {kind: [] for kind in get_args(Kind)}
        for shard in self.shards:
            if shard.units:
                kinds[self.live.kind(shard, self.judge_id)].append(shard)
        moved = {shard.former for shard in self.shards if shard.former}
        deleted, rows = self.live.deleted(self.versions.keys(), moved)
        least, most = self.votes
        return {
            "shards": len(self.shards),
            "shards_to_do": len(self.tasks),
            **{f"shards_{kind}": len(some) for kind, some in kinds.items()},
            "shards_deleted": deleted,
            "shards_unreadable": len(self.bad_shards),
            "units_to_do": self.units,
            "pairs": self.rows,
            "pairs_done": self.rows - self.rows_to_do - self.left_out,
            "pairs_to_do": self.rows_to_do,
            "pairs_left_out": self.left_out,
            **{
                f"pairs_of_{kind}_shards": sum(shard.rows_to_do for shard in some)
                for kind, some in kinds.items()
            },
            "pairs_of_deleted_shards": rows,
            "pairs_again": sum(sum(shard.again.values()) for shard in self.shards),
            "pairs_of_revised_parts": sum(shard.revised for shard in self.shards),
            "pairs_to_retry": sum(shard.again.get("retried", 0) for shard in self.shards),
            "pairs_undecided": sum(shard.again.get("undecided", 0) for shard in self.shards),
            "pairs_shown_otherwise": sum(
                shard.again.get("shown_otherwise", 0) for shard in self.shards
            ),
            "pairs_opened": sum(shard.again.get("opened", 0) for shard in self.shards),
            "pairs_looked_at": sum(shard.again.get("looked_at", 0) for shard in self.shards),
            "parts_doubled": len(self.doubled),
            "judgments_at_least": least * self.rows_to_do,
            "judgments_at_most": most * self.rows_to_do,
            "estimated_prompt_tokens": round(least * self.prompt_tokens * self.rows_to_do),
        }


def plan_shards(
    source: Store,
    prefix: str,
    output: Store,
    config: InputConfig,
    judge: JudgeConfig,
    judge_id: str,
    spread: Spread = map_threads,
    reopening: Reopening | None = None,
    unsettled: Mapping[str, str] | None = None,
    read_published: ReadPublished = nothing_published,
    hashes: Store | None = None,
    parts: Collection[str] | None = None,
    open_rows: OpenRows | None = None,
    wanted: Mapping[str, str] | None = None,
    awaited: Mapping[str, Sequence[tuple[int, int]]] | None = None,
) -> Plan:
    """Plans a run.

    Args:
        source, prefix: the input (see :func:`pipeline.pairs.shards.open_input`).
        output: the output root.
        config: column mapping and unit size.
        judge: the judge's configuration.
        judge_id: the judge's fingerprint.
        spread: plans many shards at once, in order; for very many, by Ray tasks.
        reopening: which judged rows are asked about again; none by default.
        unsettled: the parts that may have rows to be asked about again, as ``unsettled_parts``
            has them; all where rows in quarantine are retried.
        read_published: reads the shards of the live snapshot.
        hashes: keeps the hashes of local files; the output by default.
        parts: keys of all parts of the judge, where they are known; by default they are listed.
        open_rows: which rows a tier of a cascade is asked about; all by default.
        wanted: keys of the shards to plan, by path: those that the tiers before have judged; all
            by default.
        awaited: rows that the tiers before have to do at the same time, by shard key; none by
            default. Parts with such rows are looked into once they have committed them.

    Raises:
        ShardChangedError: one of those wanted was rewritten or removed since, or any meanwhile.
        InputError: no shard was found, or none fits the mapping (all are listed).
        StorageError: the input or the output cannot be reached.
    """
    check_apart(source, prefix, output)
    entries, _ = list_planned(source, prefix, wanted)
    if config.layout == AUTO:
        raise ConfigError(proposal_for_shard(source, entries[0], config.read_seconds))
    published = read_published(output)
    planned: dict[str, ShardPlan] = {}
    rest: list[CommittedShard] = []
    rule = reopening or Reopening(judge, "")
    contents = ContentKeys(source, hashes or output)
    unsettled = unsettled or {}
    for shard in committed_shards(contents, output, judge_id, entries, parts):
        if wanted is not None and wanted[shard.entry.key] != shard.key:
            raise ShardChangedError(source.shown(shard.entry.key))
        every = bool(rule.reasons or rule.rerender)
        rows = sorted((awaited or {}).get(shard.key, ()))
        waiting = {
            p.key for p in shard.parts.parts if rows and subtract([p.rows], rows) != [p.rows]
        }
        again = [p for p in shard.parts.parts if every or p.key in unsettled or p.key in waiting]
        # The footer of a published shard that is still the same (its key is made of path, size and
        # content) is not read: the manifest has its number of rows. The shard counts as done only
        # if its parts hold exactly these rows, so that a manifest which is missing, unreadable, or
        # of other shards costs time and no rows.
        known = None if again else published.rows.get(shard.key)
        if known and shard.covers(known):  # a shard of no rows has no parts that could tell
            planned[shard.entry.key] = ShardPlan(
                shard.entry, shard.key, known, changed=shard.changed, doubled=shard.parts.doubled
            )
        else:
            former = published.former(shard, judge_id)
            looked = replace(shard, unsettled=tuple(again), awaited=frozenset(waiting))
            rest.append(replace(looked, former=former))
    for plan_ in spread(ShardPlanner(source, output, config, judge_id, rule, open_rows), rest):
        planned[plan_.entry.key] = plan_
    shards = tuple(planned[entry.key] for entry in entries)
    misfits = [shard for shard in shards if shard.misfit]
    if misfits and all(shard.defect for shard in shards):
        faults = ((text, source.path(s.entry.key)) for s in misfits for text in [str(s.defect)])
        raise InputError(
            f"no shard fits the mapping:\n{fault_blocks(faults)}\n"
            "name the layout (input.layout), or map the columns (input.map); "
            "input.layout=auto proposes one"
        )
    a_round = judge.declared_format.replies_a_round
    votes = (max(a_round, judge.votes.min_votes), judge.votes.max_votes)
    live = published.of_input(source.path(prefix))
    plan = Plan(shards, votes, judge_id, live, contents)
    if not plan.tasks:
        return plan
    first = next(shard for shard in shards if shard.units)
    with unless_changed(source, first.entry):
        tokens = estimate_prompt_tokens(source, plan.tasks[0], config, judge)
    return replace(plan, prompt_tokens=tokens)


def check_apart(source: Store, prefix: str, output: Store) -> None:
    """Checks that the output does not lie inside of the input.

    Raises:
        InputError: it does.
    """
    inside = f"{output.real_path()}/".startswith(f"{source.real_path(prefix)}/")
    if inside and not (prefix and source.size(prefix) is not None):  # a shard holds no output
        raise InputError(
            f"output {output.uri} lies inside of input {source.path(prefix)}: its labels would be "
            "read as shards; choose an output elsewhere"
        )
