"""Every benchmark as a command: its arguments, an example, how it is run and how it is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.lab.bench.bench_input import (
    config_of,
    input_arguments,
    new_output,
    pairs_of,
    picture_size,
    settings_of,
    stand_in_arguments,
)
from pipeline.lab.bench.results_table import print_results
from pipeline.labeling.label_config import LabelConfig
from pipeline.runtime.config_file import load_config

Parser = argparse.ArgumentParser
Results = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: ``pairmill bench <name>``.
        text: what it measures, for ``--help``.
        about: what it needs, and which figures to look at first.
        example: its arguments in one command line.
        config: the configuration file it uses by default; None if it needs none.
        add_arguments: adds its own arguments.
        run: measures; returns what becomes the JSON.
        show: prints the results and where the JSON is.
    """

    name: str
    text: str
    about: str
    example: str
    config: str | None
    add_arguments: Callable[[Parser], None]
    run: Callable[[argparse.Namespace], Results]
    show: Callable[[Results, str], None] = print_results


# What a benchmark needs is imported when it is run, so that the help comes at once.


def _engine_arguments(parser: Parser) -> None:
    input_arguments(parser)
    parser.add_argument(
        "--sweep",
        metavar="FILE",
        help="YAML of settings to compare, each a name and a list of key.path=value, as in "
        "jobs/configs/bench-engine-cpu.yaml and …-gpu.yaml; default: only --config as it is",
    )


def _run_engine(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.engine_sweep import bench_engine, read_sweep

    sweep = read_sweep(options.sweep) if options.sweep else {}
    pairs = pairs_of(options)
    return bench_engine(options.config, settings_of(options), sweep, pairs, options.repeats)


def _run_pipeline(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.bench_plots import draw_pipeline
    from pipeline.lab.bench.pipeline_bench import bench_pipeline

    output = new_output(options.folder, "labels")
    results = bench_pipeline(config_of(options), pairs_of(options), output, options.repeats)
    return results | {"pictures": draw_pipeline(results, options.folder)}


def _run_peers(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.bench_plots import draw_pipeline
    from pipeline.lab.bench.peers_bench import bench_peers

    output = new_output(options.folder, "peers")
    results = bench_peers(config_of(options), pairs_of(options), output, options.repeats)
    return results | {"pictures": draw_pipeline(results, options.folder)}


def _decode_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--seconds", type=float, default=5, help="of each measurement (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=30, help="judgments/s of a GPU (%(default)s)")


def _run_decode(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.decode_bench import bench_decode

    return bench_decode(config_of(options).judge, options.seconds, options.rate)


def _scaling_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--engines",
        type=int,
        nargs="+",
        default=[1, 2, 4, 8],
        metavar="N",
        help="how many, a run each (1 2 4 8)",
    )
    parser.add_argument(
        "--rate", type=float, default=30, help="judgments/s of one engine (%(default)s)"
    )
    text = "of each run, if it scales (%(default)s)"
    parser.add_argument("--seconds", type=float, default=60, help=text)
    parser.add_argument(
        "--driver-units",
        type=int,
        nargs="*",
        default=[500, 2_000],
        metavar="N",
        help="units of one pair in two more runs, whose difference is what a unit costs the driver "
        "(500 2000); without a number: left out",
    )


def _run_scaling(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.bench_plots import draw_scaling
    from pipeline.lab.bench.scaling_bench import bench_scaling

    results = bench_scaling(
        config_of(options),
        options.folder / "scaling",
        sorted(options.engines),
        options.rate,
        options.seconds,
        options.driver_units,
    )
    return results | {"pictures": draw_scaling(results, options.folder)}


def _gpus_arguments(parser: Parser) -> None:
    input_arguments(parser)
    parser.add_argument(
        "--gpus",
        type=int,
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="how many, a run each, with --shards for each GPU (1 2)",
    )
    parser.add_argument(
        "--kill-after",
        type=float,
        metavar="S",
        help="one more run of the most GPUs, in which one worker is killed S seconds after its "
        "process was there",
    )


def _run_gpus(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.gpus_bench import bench_gpus

    return bench_gpus(
        config_of(options),
        lambda count: pairs_of(options, shards=count * options.shards),
        lambda: new_output(options.folder, "labels"),
        sorted(options.gpus),
        options.kill_after,
    )


def _memory_arguments(parser: Parser) -> None:
    parser.add_argument("--mb", type=int, default=2_048, help="MiB of pictures (%(default)s)")


def _run_memory(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.memory_bench import bench_memory

    return bench_memory(config_of(options), options.folder / "memory", options.mb)


def _incremental_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--units",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        help="of each corpus (1000 10000 100000)",
    )
    parser.add_argument("--shard-units", type=int, default=8, help="units a shard (%(default)s)")
    parser.add_argument(
        "--new", type=float, nargs="+", default=[0, 1, 100], help="percent of shards (0 1 100)"
    )
    parser.add_argument(
        "--extrapolate-to",
        type=int,
        default=1_000_000,
        metavar="UNITS",
        help="size of a corpus to extrapolate to (%(default)s)",
    )
    add = parser.add_argument
    add("--published", type=int, default=1_000, help="shards that are published (%(default)s)")
    add("--published-rows", type=int, default=100, help="rows of each (%(default)s)")
    add("--rewritten", type=int, default=10, help="of them, before the next publish (%(default)s)")


def _run_incremental(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.incremental_bench import bench_incremental
    from pipeline.lab.bench.publish_bench import bench_publish

    shares = [percent / 100 for percent in options.new]
    plans = bench_incremental(
        sorted(options.units), options.shard_units, shares, options.extrapolate_to
    )
    folder = Path(new_output(options.folder, "publish"))
    how = (options.published, options.published_rows, options.rewritten)
    return plans | {"publish": bench_publish(folder, *how)}


def _export_arguments(parser: Parser) -> None:
    add = parser.add_argument
    text = "labels, a run each (250000 1000000)"
    add("--rows", type=int, nargs="+", default=[250_000, 1_000_000], metavar="N", help=text)
    add("--shard-rows", type=int, default=1_000, metavar="N", help="labels a shard (%(default)s)")
    add(
        "--formats",
        nargs="*",
        default=["trl-dpo", "jsonl"],
        metavar="FORMAT",
        help="to export them in, as of pairmill export (trl-dpo jsonl)",
    )


def _run_export(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.export_bench import bench_export

    sizes = sorted(options.rows)
    return bench_export(options.folder / "export", sizes, options.shard_rows, options.formats)


def _commit_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--stores",
        nargs="*",
        default=[],
        metavar="URI",
        help="empty prefixes, beside the local disk",
    )
    add("--rows", type=int, default=1_000, help="pairs of a unit (%(default)s)")
    add("--units", type=int, default=20, help="that are committed to each store (%(default)s)")
    add(
        "--rates",
        type=float,
        nargs="+",
        default=[12, 36],
        help="pairs/s of a worker: a reasoning and a reward judge on an H200 (12 36)",
    )


def _run_commit(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.commit_bench import bench_commit

    stores = [new_output(options.folder, "parts"), *options.stores]
    return bench_commit(stores, options.rows, options.units, options.rates)


def _endpoint_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("--requests", type=int, default=4_000, help="of each case (%(default)s)")
    add("--at-once", type=int, nargs="+", default=[100, 1_000], help="in flight (100 1000)")
    add("--latency", type=float, default=1.0, metavar="S", help="of a reply (%(default)s)")


def _run_endpoint(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.endpoint_bench import bench_endpoint

    return bench_endpoint(options.requests, options.at_once, options.latency)


def _run_soft_votes(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.soft_votes_bench import bench_soft_votes

    pairs = pairs_of(options)
    return bench_soft_votes(options.config, settings_of(options), pairs, options.repeats)


def _early_verdicts_arguments(parser: Parser) -> None:
    input_arguments(parser, repeated=False)
    text = "tokens of reasoning from one mark to the next (16 32)"
    parser.add_argument("--every", type=int, nargs="+", default=[16, 32], help=text)


def _run_early_verdicts(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.early_verdicts_bench import bench_early_verdicts

    pairs = pairs_of(options)
    return bench_early_verdicts(options.config, settings_of(options), pairs, options.every)


def _cascade_pools_arguments(parser: Parser) -> None:
    input_arguments(parser, repeated=False)
    add = parser.add_argument
    add(
        "--escalate",
        type=float,
        nargs="+",
        default=[10, 20, 40],
        metavar="PERCENT",
        help="of the pairs, that the second judge is asked about (10 20 40)",
    )
    modes = ("in-turn", "one-gpu", "own-gpus")
    text = (
        "in-turn: one GPU, one judge after the other; one-gpu: both at once on it, half of its "
        "memory each; own-gpus: both at once, on GPUs of their own (all three); without --stand-in "
        "engines that only wait, on pretended GPUs"
    )
    add("--modes", nargs="+", default=modes, choices=modes, help=text)
    text = "of the pool of each judge, for own-gpus (1 1)"
    add("--workers", type=int, nargs=2, default=(1, 1), metavar=("FIRST", "SECOND"), help=text)


def _run_cascade_pools(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.cascade_pools_bench import bench_cascade_pools, stand_in_cascade
    from pipeline.lab.bench.scaling_bench import write_text_shards

    config = config_of(options)
    if options.dummy_model:
        config = stand_in_cascade(config)
    if options.input is None and not options.dummy_model:
        pairs = options.folder / f"texts-{256 * options.shards}"
        write_text_shards(pairs, 256 * options.shards, shard_rows=256)
        options.input = str(pairs)
    shares = [percent / 100 for percent in options.escalate]
    folder, workers = options.folder / "cascade-pools", (options.workers[0], options.workers[1])
    return bench_cascade_pools(config, pairs_of(options), folder, shares, options.modes, workers)


def _ingest_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("--picture-mb", type=int, default=1_000, help="megabytes of pictures (%(default)s)")
    add("--rows", type=int, default=100_000, help="rows of texts (%(default)s)")


def _run_ingest(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.ingest_bench import bench_ingest

    return bench_ingest(options.folder / "ingest", options.picture_mb, options.rows)


def _shared_prompts_arguments(parser: Parser) -> None:
    add = parser.add_argument
    stand_in_arguments(parser)
    add(
        "--pictures",
        type=picture_size,
        nargs="+",
        default=[(448, 448), (1024, 1024)],
        metavar="WxH",
        help="pixels of the pictures, a mix each (448x448 1024x1024)",
    )
    add("--prompts", type=int, default=256, help="of each mix, six pairs each (%(default)s)")
    add("--words", type=int, default=150, help="of an answer, about (%(default)s)")
    add("--repeats", type=int, default=1, help="runs of each way and mix (%(default)s)")


def _run_shared_prompts(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.shared_prompts_bench import bench_shared_prompts

    folder = options.folder / "shared-prompts"
    how = (options.pictures, options.prompts, options.words, options.repeats)
    return bench_shared_prompts(options.config, settings_of(options), folder, *how)


def _review_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="labels of the snapshot (%(default)s)")
    add("--shards", type=int, default=200, help="that they lie in (%(default)s)")
    add("--repeats", type=int, default=5, help="of each request (%(default)s)")
    add("--store", metavar="URI", help="a prefix of a bucket to measure as well, such as s3://b/p")
    add("--delay-ms", type=float, default=20, help="of each request to it (%(default)s)")


def _run_review(options: argparse.Namespace) -> Results:
    from pipeline.lab.bench.review_bench import bench_review

    name = f"review-{options.rows}-{options.shards}"
    roots = {str(options.folder / name): 0.0}
    if options.store:
        roots[f"{options.store}/{name}"] = options.delay_ms / 1_000
    return bench_review(roots, options.rows, options.shards, options.repeats)


def _votes_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--seed", type=int, default=1, help="of sampled votes and of the bootstrap (%(default)s)"
    )
    parser.add_argument(
        "--pairs", type=int, default=600, help="sampled a seed and population (%(default)s)"
    )
    parser.add_argument("--real", action="store_true", help="also ask the judge of --config")
    parser.add_argument(
        "--real-pairs", type=int, default=240, help="pairs it is asked about (%(default)s)"
    )


def _run_votes(options: argparse.Namespace) -> Results:
    from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards
    from pipeline.lab.vote_study.study_command import bench_stored_votes, bench_votes

    results = bench_votes(options.folder, options.seed, options.pairs)
    if options.real:
        pairs = options.folder / f"pairs-{options.real_pairs}"
        write_scene_shards(pairs, 1, options.real_pairs, seed=1_001)
        results["real"] = bench_stored_votes(
            config_of(options), str(pairs), options.folder, options.seed
        )
    return results


def _show_votes(results: Results, where: str) -> None:
    from pipeline.lab.vote_study.study_markdown import print_study

    print_study(results, where)


def _cascade_arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("--seed", type=int, default=1, help="of the simulation and the bootstrap (%(default)s)")
    add("--prices", type=_positive, nargs=2, metavar=("PAIR", "VOTE"),
        help="of a pair by the reward model and of one vote of the judge, in any unit; default: "
        "seconds of an H200 (0.0278 0.0493), and with --real as long as it took here")  # fmt: skip
    add("--errors", type=_share, nargs=2, metavar=("REWARD", "VOTE"),
        help="your own error rates, of a reward model and of one vote: simulated too")  # fmt: skip
    add("--alike", type=float, default=0.5, metavar="R",
        help="correlation of what is hard for both, 0 to 1 (%(default)s)")  # fmt: skip
    add("--real", action="store_true", help="also ask the two tiny judges (--config)")
    add("--real-pairs", type=int, default=400, help="pairs they are asked about (%(default)s)")
    add("--real-reward", metavar="KEY=VALUE", action="append", default=[],
        help="a setting of the tiny reward judge alone")  # fmt: skip


def _positive(text: str) -> float:
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0")
    return value


def _share(text: str) -> float:
    if not 0 < (value := float(text)) < 0.5:
        raise argparse.ArgumentTypeError(f"{text}: expected an error rate between 0 and 0.5")
    return value


def _run_cascade(options: argparse.Namespace) -> Results:
    from pipeline.lab.cascade_study.cascade_bench import H200, bench_published
    from pipeline.lab.cascade_study.published_judges import Prices

    prices = Prices(*options.prices) if options.prices else None
    own = tuple(options.errors) if options.errors else None
    how = (options.alike, own, options.seed)
    results = bench_published(options.folder, prices or H200, *how)
    if not options.real:
        return results
    real = _real_cascade(options, prices)
    results["rows"] += real["rows"]
    results["notes"].append(real["note"])
    return results | {"real": real}


def _real_cascade(options: argparse.Namespace, prices: Any) -> Results:
    from pipeline.lab.cascade_study.cascade_bench import REWARD, bench_stored
    from pipeline.lab.tiny_judge.scene_corpus import write_scene_shards

    pairs = options.folder / f"pairs-{options.real_pairs}"
    write_scene_shards(pairs, 1, options.real_pairs, seed=1_001)
    given = [*settings_of(options), *REWARD, *options.real_reward]
    reward = load_config(LabelConfig, options.config, given, own_sections=True)
    return bench_stored(
        config_of(options), reward, str(pairs), options.folder, prices, options.seed
    )


def _show_cascade(results: Results, where: str) -> None:
    shown = {name: results[name] for name in ("benchmark", "rows", "notes", "prices", "alike")}
    print_results(shown, where)


_ANY_JUDGE = (
    "By default the judge is the embedded one, on a CPU; on a GPU give --config, or --stand-in, a "
    "model of a real judge's shape that needs no download."
)
BENCHMARKS = (
    Benchmark(
        name="engine",
        text="engine settings against each other, the bare engine on the same requests",
        about=f"{_ANY_JUDGE} Look at judgments/s by setting.",
        example="--sweep jobs/configs/bench-engine-cpu.yaml --shards 1 --repeats 1",
        config="cpu.yaml",
        add_arguments=_engine_arguments,
        run=_run_engine,
    ),
    Benchmark(
        name="pipeline",
        text="the whole job against the engine alone, same requests",
        about=f"{_ANY_JUDGE} Look at "
        "ratios: the job's judgments/s over the engine's own, in the same run.",
        example="--shards 2 --repeats 1",
        config="cpu.yaml",
        add_arguments=input_arguments,
        run=_run_pipeline,
    ),
    Benchmark(
        name="peers",
        text="the whole job against the engine alone and against ray.data.llm, same requests",
        about=f"{_ANY_JUDGE} Look at judgments/s of the three sides.",
        example="--stand-in --config jobs/configs/h200-bf16.yaml --shards 8 --repeats 1",
        config="cpu.yaml",
        add_arguments=input_arguments,
        run=_run_peers,
    ),
    Benchmark(
        name="decode",
        text="what pictures and clips cost the CPU, and how many cores a GPU needs for them",
        about="Needs neither GPU nor model. Look at cores_a_gpu: how many cores a GPU of --rate "
        "keeps busy, by kind of medium.",
        example="--seconds 1 --rate 30",
        config="bench-decode.yaml",
        add_arguments=_decode_arguments,
        run=_run_decode,
    ),
    Benchmark(
        name="scaling",
        text="1 to N engines that only wait, at a real one's pace; driver costs; autoscaling",
        about="Needs neither GPU nor model. A judgment costs the job some ms of CPU: with many "
        "engines on few cores lower --rate, or the cores are the limit. Look at "
        "steady_efficiency (1 is linear) beside tree_cpu_s_1000_pairs.",
        example="--engines 1 2 --seconds 20 --driver-units",
        config="bench-scaling.yaml",
        add_arguments=_scaling_arguments,
        run=_run_scaling,
    ),
    Benchmark(
        name="gpus",
        text="the whole job on one GPU and on several of one host, and with a worker killed",
        about="Needs as many GPUs as the largest of --gpus; with engine.kind=scripted, none. "
        "Look at against_linear and driver_cpu_s.",
        example="--stand-in --config jobs/configs/h200-bf16.yaml --shards 14 --gpus 1 2 4",
        config="cpu.yaml",
        add_arguments=_gpus_arguments,
        run=_run_gpus,
    ),
    Benchmark(
        name="memory",
        text="pictures queueing before a slow judge: memory, spilling, bytes and CPU a pair",
        about="Needs neither GPU nor model. Look at spilled_mb, and at peak_process_tree_mb "
        "against --mb.",
        example="--mb 512",
        config="bench-memory.yaml",
        add_arguments=_memory_arguments,
        run=_run_memory,
    ),
    Benchmark(
        name="incremental",
        text="what a night costs beside judging, by how much is new: its plan, and publishing",
        about="Needs neither GPU nor model. Look at seconds and requests of a plan without "
        "news, and at share_written of publishing.",
        example="--units 1000 10000 --new 0 1 --published 100 --rewritten 1",
        config=None,
        add_arguments=_incremental_arguments,
        run=_run_incremental,
    ),
    Benchmark(
        name="ingest",
        text="what ingest costs the CPU: pictures and texts, as they come and by prompt",
        about="Needs neither GPU nor model. Look at mb_a_core_second of pictures and at "
        "rows_a_core_second of texts.",
        example="--picture-mb 50 --rows 5000",
        config=None,
        add_arguments=_ingest_arguments,
        run=_run_ingest,
    ),
    Benchmark(
        name="export",
        text="publishing and exporting up to a million labels: seconds, CPU, the most memory",
        about="Needs neither GPU nor model. Labels are made first, at a minute of CPU for "
        "200,000, and kept for the next call. Look at all_cpu_s, which should grow with "
        "the rows, and at peak_mb, which should not.",
        example="--rows 20000 --formats trl-dpo",
        config=None,
        add_arguments=_export_arguments,
        run=_run_export,
    ),
    Benchmark(
        name="commit",
        text="what committing a unit costs, and of it reading its part back",
        about="Needs neither GPU nor model. --stores measures buckets beside the local disk. "
        "Look at commit_ms.",
        example="--rows 1000 --units 5",
        config=None,
        add_arguments=_commit_arguments,
        run=_run_commit,
    ),
    Benchmark(
        name="endpoint",
        text="what a request to a judge's server costs the worker that sends it",
        about="Needs neither GPU nor model. A server that replies after --latency is started "
        "here. Look at requests_per_s of one core.",
        example="--requests 1000 --at-once 100",
        config=None,
        add_arguments=_endpoint_arguments,
        run=_run_endpoint,
    ),
    Benchmark(
        name="soft-votes",
        text="what reading the log-probabilities of each verdict costs, in one engine by turns",
        about=f"{_ANY_JUDGE} Look at cost: what it takes from judgments/s.",
        example="--stand-in --config jobs/configs/h200-bf16.yaml --shards 4",
        config="cpu.yaml",
        add_arguments=input_arguments,
        run=_run_soft_votes,
    ),
    Benchmark(
        name="early-verdicts",
        text="what ending a judge's reasoning at marks would save, and which verdicts it changes",
        about="Look at saved (tokens) against changed_share (verdicts).",
        example="--shards 1 --every 16 32",
        config="bench-votes.yaml",
        add_arguments=_early_verdicts_arguments,
        run=_run_early_verdicts,
    ),
    Benchmark(
        name="cascade-pools",
        text="what a cascade of two judges keeps of their own rates: in turn, or side by side",
        about="Without --stand-in engines only wait, on pretended GPUs: what is measured is the "
        "job's own part. With it, own-gpus needs two GPUs, other modes one. Look at "
        "ratio: the time that the judges' own rates allow over the time that it took.",
        example="--shards 8 --modes own-gpus --escalate 20",
        config="bench-cascade.yaml",
        add_arguments=_cascade_pools_arguments,
        run=_run_cascade_pools,
    ),
    Benchmark(
        name="shared-prompts",
        text="what pairs of one prompt save: as they come and together, in one engine by turns",
        about=f"{_ANY_JUDGE} Look at "
        "reached: of what the cache could hold of the prompts, how much it did.",
        example="--pictures 448x448 --prompts 16 --words 8 --reply-tokens 8 "
        "--set engine.max_num_seqs=8 --set engine.args.block_size=128",
        config="cpu.yaml",
        add_arguments=_shared_prompts_arguments,
        run=_run_shared_prompts,
    ),
    Benchmark(
        name="review",
        text="pages of `pairmill review` on a large snapshot: first, next, filtered, a search",
        about="Needs neither GPU nor model. The snapshot is made once and kept. Look at the "
        "slowest page.",
        example="--rows 100000 --shards 20 --repeats 3",
        config=None,
        add_arguments=_review_arguments,
        run=_run_review,
    ),
    Benchmark(
        name="votes",
        text="voting strategies, on simulated judges and on stored votes of a real one",
        about="Needs neither GPU nor model. With --real the embedded judge is asked, on a CPU. "
        "Look at votes a pair for as many right labels.",
        example="--pairs 50 --seed 1",
        config="bench-votes.yaml",
        add_arguments=_votes_arguments,
        run=_run_votes,
        show=_show_votes,
    ),
    Benchmark(
        name="cascade",
        text="error against price of a reward model before a judge: simulated, and on real ones",
        about="Needs neither GPU nor model. With --real both embedded judges are asked, on a "
        "CPU. Look at the error that a price buys.",
        example="--errors 0.25 0.18 --prices 1 2",
        config="bench-votes.yaml",
        add_arguments=_cascade_arguments,
        run=_run_cascade,
        show=_show_cascade,
    ),
)
