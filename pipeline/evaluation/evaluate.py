"""An evaluation: labels gold pairs like any others, and pairs each label with its gold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.aggregation.calibration_cards import read_calibration
from pipeline.aggregation.judged_pairs import JudgedPair, read_judged, relabeled
from pipeline.aggregation.labeler import Labeler
from pipeline.engines.engine import Layout
from pipeline.evaluation.benchmarks.benchmark import Benchmark
from pipeline.evaluation.benchmarks.benchmark_files import Request
from pipeline.evaluation.benchmarks.benchmark_shards import load_benchmark
from pipeline.evaluation.control_comparison import Comparison, compare
from pipeline.evaluation.controls import Control, check_control, write_control
from pipeline.evaluation.evaluation_measures import Family
from pipeline.evaluation.probed_pairs import GoldSource
from pipeline.evaluation.probes import ProbeRun
from pipeline.evaluation.probes_config import ProbesConfig
from pipeline.gold.gold_rows import gold_rows, has_gold, write_first
from pipeline.gold.people import NOBODY, GoldConfig, People, read_people
from pipeline.labeling.known_judge import known_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.label_run import label
from pipeline.labeling.planning.plan import plan_shards
from pipeline.labeling.preview.preview_pairs import Preview, preview
from pipeline.labeling.run_request import RunRequest
from pipeline.pairs.input_config import InputConfig
from pipeline.pairs.shards import open_input
from pipeline.runtime.digest import digest
from pipeline.runtime.errors import InputError, QuarantineError
from pipeline.runtime.reporter import Reporter
from pipeline.store.object_store import Store
from schemas.benchmark_prompts import EVALUATIONS
from schemas.probes import ProbeRecord


@dataclass(frozen=True)
class Task:
    """What a judge is evaluated on: a benchmark, or gold pairs of one's own.

    Attributes:
        name: names the folder of the evaluation.
        input_uri: gold pairs; None for a benchmark.
        request: which data of the benchmark; of gold pairs only the limit counts.
        controls: names of controls (see ``pipeline.evaluation.controls``).
        as_published: whether the configuration has the settings of the benchmark's published
            results.
        resamples: bootstrap resamples.
        gold: the set of people's answers, beside those in the input; controls, and a limit, go by
            the input's alone.
        probes: how the judge is probed; None where it is not.
    """

    name: str
    input_uri: str | None = None
    benchmark: Benchmark | None = None
    request: Request = field(default_factory=Request)
    controls: tuple[str, ...] = ()
    as_published: bool = False
    resamples: int = 2_000
    gold: GoldConfig = field(default_factory=GoldConfig)
    probes: ProbesConfig | None = None


@dataclass
class Evaluated:
    """The judged pairs of an evaluation, before they are counted.

    Attributes:
        rows: pairs with a gold that the judge's format can be measured against.
        other_gold: labelled pairs whose gold is of another kind, or unknown.
        card: the judge's card.
        calibrated_on: gold pairs that the stored calibration was fitted to; 0 without one.
        comparisons: results of the controls.
        probes: what the judge does with altered pairs; None where it was not probed.
        failures: runs that ended with too many quarantined pairs.
        read: what was read of a benchmark, by part.
    """

    rows: list[JudgedPair]
    other_gold: int
    card: dict[str, Any]
    calibrated_on: int
    comparisons: list[Comparison] = field(default_factory=list)
    probes: ProbeRecord | None = None
    failures: list[QuarantineError] = field(default_factory=list)
    read: list[dict[str, Any]] = field(default_factory=list)


def evaluate(config: LabelConfig, task: Task, output_uri: str, reporter: Reporter) -> Evaluated:
    """Labels what is not labelled yet, and reads labels and gold side by side.

    Labels are aggregated again from their votes by the configured policy, with the calibration in
    the judge's card if there is one: a change of policy judges no pair again.

    Args:
        config: of the judge, as for ``pairmill label``.
        task: what it is evaluated on.
        output_uri: where labels, judge card, control pairs and the evaluation go.
        reporter: receives the events of the labeling runs.

    Raises:
        PairmillError: with the exit code of the job (see ``pipeline.runtime.errors``). Too many
            quarantined pairs are in the result's ``failures`` instead.
    """
    if task.benchmark is not None:
        task.benchmark.check_judge(config.judge)
    controls = [check_control(name, config.judge) for name in task.controls]
    output = Store(output_uri)
    config, input_uri, read = gold_input(config, task, output, reporter.note)
    config, known = known_judge(config, output, reporter.note)
    card = known.card
    with ExitStack() as session:
        runs = _Runs(config, output, card, reporter, session)
        people = read_people(output, task.gold)
        rows, others = runs.judged(input_uri, config.input, people)
        calibration = runs.labeler.calibration
        result = Evaluated(rows, others, card, calibration.gold_pairs if calibration else 0)
        for control in controls:
            result.comparisons.append(_compared(control, runs, input_uri, task, rows))
        if task.probes is not None:
            result.probes = runs.probed(GoldSource(input_uri, config.input, people), task.probes)
    result.failures, result.read = runs.failures, read
    return result


def preview_task(config: LabelConfig, task: Task, layout: Layout, count: int) -> Preview:
    """The first gold pairs of a task, as the judge will see them; keeps and judges nothing.

    Args:
        config: of the judge, as for ``pairmill label``.
        task: what it is to be evaluated on.
        layout: lays prompts out as the configured engine would.
        count: how many pairs.

    Raises:
        PairmillError: the data cannot be found or read, or do not fit the judge.
    """
    if task.benchmark is not None:
        task.benchmark.check_judge(config.judge)
    request = replace(task.request, limit=min(count, task.request.limit or count))
    with TemporaryDirectory(prefix="pairmill-preview-") as folder:
        config, uri, _ = gold_input(config, replace(task, request=request), Store(folder))
        return replace(preview(config, uri, layout, count), input_uri=task.name)


def evaluation_folder(task: Task, card: Mapping[str, Any]) -> str:
    """Where an evaluation is stored, under the output root."""
    return f"{EVALUATIONS}/{task.name}/{card['judge_id'][:16]}"


class _Runs:
    """Labeling runs of one judge into one output, on one Ray."""

    def __init__(
        self,
        config: LabelConfig,
        output: Store,
        card: Mapping[str, Any],
        reporter: Reporter,
        session: ExitStack,
    ) -> None:
        self.config, self.output, self.failures = config, output, list[QuarantineError]()
        self._card, self._reporter, self._session = card, reporter, session

    @property
    def labeler(self) -> Labeler:
        """Aggregates votes into labels."""
        calibration = read_calibration(self.output, self._card["judge_id"])
        return Labeler.of(self.config.judge, self.config.policy, calibration)

    @property
    def family(self) -> Family:
        """The family of the judge's format."""
        return self.config.judge.declared_format.about

    def judged(
        self, input_uri: str, how: InputConfig, people: People = NOBODY
    ) -> tuple[list[JudgedPair], int]:
        """The judged pairs of an input, and how many have no gold for this judge's format."""
        config = self.config.model_copy(update={"input": how})
        judge_id = self._card["judge_id"]
        source = open_input(input_uri)
        if plan_shards(*source, self.output, how, config.judge, judge_id).tasks:
            self._start_ray()
        try:
            label(config, input_uri, self.output.uri, self._reporter, RunRequest())
        except QuarantineError as error:
            self.failures.append(error)
        found = read_judged(input_uri, how, self.output, judge_id, None, people)
        format_ = self.config.judge.format
        rows = [row for row in found if has_gold(row.pair, self.family)]
        if not rows:
            column = "gold" if self.family == "pair" else "gold_scores"
            raise InputError(
                f"{input_uri}: {len(found)} labelled pairs have gold, none of them in {column}, "
                f"which judges of format {format_} are measured against"
            )
        return relabeled(rows, self.labeler), len(found) - len(rows)

    def probed(self, source: GoldSource, how: ProbesConfig) -> ProbeRecord:
        """What the judge does with altered pairs."""
        run = ProbeRun(self.config, how, self._card, source, self.output)
        if (before := run.stored()) is not None:
            return before
        self._start_ray()
        return run.judged(self._reporter)

    def _start_ray(self) -> None:
        """Starts the one session of all runs; each of them joins it."""
        from pipeline.labeling.cluster.ray_session import ray_session  # Ray takes seconds to load

        self._session.enter_context(ray_session(self.config.workers, self._reporter))


def gold_input(
    config: LabelConfig,
    task: Task,
    output: Store,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[LabelConfig, str, list[dict[str, Any]]]:
    """The configuration and the URI that gold pairs are read by, and what a benchmark gave.

    Raises:
        PairmillError: the data cannot be found or read.
    """
    limit = task.request.limit
    folder = output.path(f"{EVALUATIONS}/{task.name}/pairs")
    if task.benchmark is not None:
        loaded = load_benchmark(task.benchmark, task.request, folder)
        roots = () if loaded.media_root is None else (loaded.media_root,)
        return _reading_pairs(config, roots), folder, loaded.as_report()
    assert task.input_uri is not None
    if limit is None:
        return config, task.input_uri, []
    about = config.judge.declared_format.about
    write_first(gold_rows(task.input_uri, config.input, about, note), limit, folder)
    return _reading_pairs(config, _roots(config, task.input_uri)), folder, []


def _reading_pairs(config: LabelConfig, roots: Sequence[str]) -> LabelConfig:
    """The configuration for shards of pairs v2 whose media paths start at ``roots``."""
    changes: dict[str, Any] = {
        "layout": None,
        "map": {},
        "columns": {},
        "media_roots": tuple(roots),
    }
    return config.model_copy(update={"input": config.input.model_copy(update=changes)})


def _roots(config: LabelConfig, input_uri: str) -> tuple[str, ...]:
    return (*config.input.media_roots, open_input(input_uri)[0].uri)


def _compared(
    control: Control, runs: _Runs, input_uri: str, task: Task, rows: Sequence[JudgedPair]
) -> Comparison:
    folder = f"{EVALUATIONS}/{task.name}/controls/{control}-{_identity(rows)}"
    uri = runs.output.path(folder)
    made = write_control(control, input_uri, runs.config.input, runs.config.judge, uri)
    how = _reading_pairs(runs.config, _roots(runs.config, input_uri)).input
    changed, _ = runs.judged(uri, how)
    true = {(row.label["shard"], row.label["row"]): row for row in rows}
    return compare(made, true, changed, runs.family, task.resamples)


def _identity(rows: Sequence[JudgedPair]) -> str:
    """Names the control pairs of these rows: another selection has a folder of its own."""
    return digest(*(str(row.label["pair_hash"]) for row in rows))[:12]
