"""The dataset card: what the hub shows, and what a person should know before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipeline.export.export_config import CardConfig, ExportConfig
from pipeline.export.export_record import ExportRecord
from pipeline.export.export_rules import MEANINGS
from pipeline.export.formats.format_registry import TRAINER_FORMATS
from pipeline.export.label_noise import MOST_EPSILON, MOST_HALF_WIDTH
from pipeline.export.trainer_format import Layout
from pipeline.runtime.markdown_table import table_row
from pipeline.runtime.printable import printable
from schemas.labels import BY_GOLD, BY_SEVERAL
from schemas.manifest import Manifest, SnapshotPolicy
from schemas.quality import RATES, Quality

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGER = "n>1M"
_OF_PANEL = ("judges", "figures")  # of a rule; told of each judge


def card_of(
    record: ExportRecord,
    manifest: Manifest,
    config: ExportConfig,
    quality: Quality | None,
) -> str:
    """The card as Markdown with the YAML header that the hub reads.

    Args:
        record: of the export, without the files beside its rows.
        manifest: of the snapshot.
        config: of the export.
        quality: the snapshot's quality, if it was measured.
    """
    layout = record.layout()
    header = yaml.safe_dump(
        _header(record, config.card, layout), sort_keys=False, allow_unicode=True
    )
    several = bool(manifest.judges)
    judges = _judges(manifest) if several else _judge(manifest)
    sections: list[tuple[str, Iterable[str]]] = [
        ("What is in it", _contents(record, config)),
        ("How to train with it", _usage(record, layout)),
        ("The judges" if several else "The judge", [*judges, *_decided(record)]),
        ("How good the labels are", _quality(quality, manifest)),
        ("What was left out", _dropped(record)),
        ("How it was made", _made(record, manifest, config)),
        ("License", _license(config.card)),
    ]
    text = "\n\n".join(f"## {title}\n\n{''.join(lines).strip()}" for title, lines in sections)
    note = f"{config.card.note.strip()}\n\n" if config.card.note.strip() else ""
    return printable(f"---\n{header}---\n\n# {_title(record, config.card)}\n\n{note}{text}\n")


def _title(record: ExportRecord, card: CardConfig) -> str:
    return card.title or f"Preference labels {record.snapshot_id}, for {record.format}"


def _header(record: ExportRecord, card: CardConfig, layout: Layout) -> dict[str, Any]:
    header: dict[str, Any] = {"license": card.license}
    header |= {"license_name": card.license_name} if card.license_name else {}
    header |= {"license_link": card.license_link} if card.license_link else {}
    header |= {"language": list(card.language)} if card.language else {}
    vision = layout.shape.images or layout.shape.candidates != "text"
    tags = ["preference", "dpo", "llm-as-a-judge", "pairmill", *["multimodal"] * vision]
    largest = next((name for most, name in _SIZES if record.total < most), _LARGER)
    header |= {
        "pretty_name": _title(record, card),
        "tags": tags,
        "size_categories": [largest],
        "configs": list(_configs(layout)),
    }
    return header


def _configs(layout: Layout) -> Iterator[dict[str, Any]]:
    tiers = dict.fromkeys(tier for tier, _ in layout.files)
    for number, tier in enumerate(tiers):
        files = [
            {"split": split, "path": list(paths)}
            for (of_tier, split), paths in layout.files.items()
            if of_tier == tier
        ]
        default = {"default": True} if number == 0 and tier else {}
        yield {"config_name": tier or "default", "data_files": files, **default}


def _contents(record: ExportRecord, config: ExportConfig) -> Iterator[str]:
    yield (
        f"{record.total:,} of the {record.rows:,} rows of snapshot `{record.snapshot_id}`, as "
        f"{TRAINER_FORMATS[record.format].trainer} reads them.\n\n"
    )
    tiers = config.selection.tiers
    head = ["tier", "least confidence", "split", "rows"] if tiers else ["split", "rows"]
    rows = []
    for name, count in record.kept.items():
        tier, _, split = name.rpartition("/")
        first = [tier, f"{tiers[tier]:g}"] if tiers else []
        rows.append([*first, split, f"{count:,}"])
    yield _table(head, rows)
    if TRAINER_FORMATS[record.format].holds == "rankings":
        yield f"\nThey make {sum(file['rows'] for file in record.files):,} rankings.\n"
    yield "\nRows of one prompt are all in the same split.\n\n"
    if TRAINER_FORMATS[record.format].holds == "pairs":
        yield f"{_noise(record)}\n\n"
        if config.soft_labels:
            yield _OWN_GOLD
    if differ := record.longer + record.shorter:
        yield (
            f"The longer response is the better one in {record.longer:,} of the {differ:,} rows "
            f"whose responses differ in length ({record.longer / differ:.1%}).\n"
        )
    if named := {name: count for name, count in record.sources.items() if name}:
        yield "\n" + _table(["source", "rows"], [[n, f"{c:,}"] for n, c in named.items()])


_OWN_GOLD = (
    "`p_chosen` is cross-fitted: where people have answered about a pair, it is of a fit that has "
    "not seen their answers about its prompt. Rows of which there is none (calibrations of "
    "versions before this, panels) are marked `p_of_own_gold` in `jsonl`: their probability is "
    "too sure. Pairs of gold sets are held out, unless `export.selection.hold_out_gold` is "
    "off.\n\n"
)


def _noise(record: ExportRecord) -> str:
    if record.epsilon is None:
        return f"How many of these labels are wrong (ε) is not known: {record.epsilon_basis}."
    text = (
        f"**ε = {record.epsilon:g}** (95 % interval {record.epsilon_low:g} to "
        f"{record.epsilon_high:g}) is the share of these labels that disagree with people, a "
        f"preference where people see a tie included. It was measured on {record.epsilon_basis}, "
        "and holds as far as those are a random sample of these rows. "
    )
    if record.label_smoothing is not None:
        return text + "It is the label smoothing to train with."
    return text + (
        "It is no label smoothing to train with: that takes an interval of "
        f"±{MOST_HALF_WIDTH:g} at most, and an ε below {MOST_EPSILON:g}."
    )


def _usage(record: ExportRecord, layout: Layout) -> Iterator[str]:
    text = TRAINER_FORMATS[record.format].usage(layout)
    yield "`FOLDER` is this folder, or its name on the hub.\n\n" if "FOLDER" in text else ""
    yield text


def _judges(manifest: Manifest) -> Iterator[str]:
    """Several judges, each with what is known of it, and how they make one label."""
    assert manifest.policy is not None
    rule = manifest.policy.rule
    known = {each["judge_id"]: each for each in rule["judges"]} if rule["kind"] == "panel" else {}
    yield f"A {rule['kind']} of {len(manifest.judges)} judges decided these labels together.\n"
    for card in manifest.judges:
        first, asked, *_ = _of_card(card)
        yield f"\n- {first} {asked}"
        if of := known.get(card["judge_id"]):
            yield f" A verdict of it weighs {of['weight']:.3g}, in family {of['family']}"
            if of["reliability"] is not None:
                yield (
                    f"; {of['right']} of {of['decided']} are right where people prefer a side "
                    f"(reliability {of['reliability']:.3f})"
                )
            yield "."
    if known:
        yield f"\n- By `{rule['by']}`"
        if rule["effective_judges"] is not None:
            yield (
                f", fitted to {rule['gold_pairs']:,} pairs that people labelled; their errors are "
                f"worth those of {rule['effective_judges']:.2f} independent judges"
            )
        else:
            yield ", without people's labels: no probability of these labels is known"
        yield "."
    for line in _policy(manifest.policy):
        yield f"\n- {line}"


def _judge(manifest: Manifest) -> Iterator[str]:
    calibration = manifest.judge.get("calibration")
    lines = [
        *_of_card(manifest.judge),
        "Its confidence is calibrated on labels by humans."
        if calibration
        else "Its confidence is not calibrated: it says how sure the votes are, not how often "
        "humans agree.",
        *_policy(manifest.policy),
    ]
    yield "\n".join(f"- {line}" for line in lines)


def _of_card(card: Mapping[str, Any]) -> list[str]:
    """What a judge is, and what it was asked."""
    judge, version = card["judge"], str(card["model_version"])
    model = judge["model"]["name"]
    linked = f"[{model}](https://huggingface.co/{model})" if model.count("/") == 1 else model
    commit = version.removeprefix("commit:")
    content = version.removeprefix("sha256:")[:16]
    at = f", content `{content}`" if commit == version else f", commit `{commit}`"
    votes, sampling = judge["votes"], judge["sampling"]
    return [
        f"{linked}{at}, run by {card['engine']}; judge `{card['judge_id'][:16]}`.",
        f"Asked for `{judge['format']}` about candidates made of `{judge['candidates']}`, with "
        f"{votes['min_votes']} to {votes['max_votes']} votes a pair in both orders, temperature "
        f"{sampling['temperature']:g}; prompt `{card['prompt_sha256'][:12]}`.",
    ]


def _decided(record: ExportRecord) -> Iterator[str]:
    """How many of the exported labels each judge, the panel or people decided."""
    whose = {BY_GOLD: "people themselves", BY_SEVERAL: "the panel", "": "not stated"}
    if set(record.decided_by) <= {record.judge_id, ""}:
        return
    total = sum(record.decided_by.values())
    rows = [
        [whose.get(by) or f"judge `{by[:16]}`", f"{count:,}", f"{count / total:.1%}"]
        for by, count in record.decided_by.items()
    ]
    yield f"\n\n{_table(['decided by', 'labels', 'share'], rows)}"


def _policy(policy: SnapshotPolicy | None) -> Iterator[str]:
    if policy is None:
        yield "Labels were decided when their pairs were judged, by more than one policy perhaps."
        return
    plain = [name for name in policy.rule if name not in _OF_PANEL]
    rule = ", ".join(f"`{name}` {policy.rule[name]}" for name in plain)
    fitted = policy.calibration_id
    by = f"calibration `{fitted[:12]}`" if fitted else "no calibration"
    yield f"Every label follows from its votes by policy `{policy.policy_id[:16]}`: {rule}; {by}."
    if policy.bound is not None:
        yield f"Of the snapshot, before any selection: {policy.bound.sentence}"
    else:
        yield "No bound on how many of these labels are wrong was tested for this corpus."


def _quality(quality: Quality | None, manifest: Manifest) -> Iterator[str]:
    if manifest.gate is not None:
        yield "The snapshot passed its quality gate.\n\n"
    if quality is None:
        yield "The snapshot was not measured."
        return
    rows = []
    for name, rate in quality.rates.items():
        if rate.value is not None:
            interval = "not measured: too few prompts"
            if rate.low is not None and rate.high is not None:
                interval = f"{rate.low:.3f} to {rate.high:.3f}"
            rows.append([name, RATES[name], f"{rate.value:.3f}", interval, f"{rate.n:,}"])
    yield "Of the whole snapshot, before any selection, with 95 % intervals:\n\n"
    yield _table(["figure", "is the share of", "value", "interval", "n"], rows)
    yield "".join(f"\n- {note}" for note in quality.notes)


def _dropped(record: ExportRecord) -> Iterator[str]:
    if not record.dropped:
        yield "Nothing."
        return
    rows = [[f"`{r}`", MEANINGS.get(r, ""), f"{c:,}"] for r, c in record.dropped.items()]
    yield _table(["reason", "", "rows"], rows)


def _made(record: ExportRecord, manifest: Manifest, config: ExportConfig) -> Iterator[str]:
    asked = config.model_dump(mode="json", exclude_defaults=True, exclude={"card"})
    settings = yaml.safe_dump({"export": {"format": config.format, **asked}}, sort_keys=False)
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in manifest.counts.items())
    yield (
        f"Exported by pairmill from snapshot `{record.snapshot_id}` of {manifest.created_at[:10]}: "
        f"{manifest.rows:,} pairs ({outcomes}). The labels are those of a model; `export.json` "
        "lists every file with its SHA-256.\n\n"
        f"```yaml\n{settings}```\n"
    )


def _license(card: CardConfig) -> Iterator[str]:
    if card.license == "unknown":
        yield (
            "Not stated. The prompts, media and responses keep the terms of where they come from, "
            "and the judge's model has terms of its own (`export.card.license` sets this field)."
        )
        return
    link = f" ({card.license_link})" if card.license_link else ""
    yield f"{card.license_name or card.license}{link}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"{table_row(line)}\n" for line in lines)
