"""An output whose report is tested: labelled pairs of every kind, some of them hostile."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.report import main
from pipeline.store.object_store import Store
from schemas.labels import VERDICT
from tests.calibrations import scored
from tests.labeling import Outcome, run_job
from tests.measuring import Corpus, random_votes
from tests.publishing import live_rows, run_publish
from tests.shards import pair, picture, response

# The shell takes a third of the CPU: it is the same engine without windows and profiles.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# Were it taken for markup anywhere, it would run, ask for something, or close what it stands in.
HOSTILE = (
    "\"'></title></style></svg></textarea>-->{{ 7 * 7 }}<script>window.owned = 1</script>"
    '<img src="http://attacker.example/x" onerror="window.owned = 1">\u202eevil\x07'
)
_ROWS = (24, 19)


def reported_corpus(folder: Path) -> Corpus:
    """Labels of two shards, published, with fewer rows than a report shows; no report yet."""
    made, rng = Corpus.at(str(folder)), random.Random(11)
    for name, count in zip(("one.parquet", "two & <b>.parquet"), _ROWS, strict=True):
        pairs = [_pair(number, rng) for number in range(count)]
        votes = random_votes(rng, count, favour=0.6)
        pairs[3] |= _hostile_pair()
        votes[3] = [replace(scored(order, 9, 2), rationale=HOSTILE) for order in ("ab", "ba")]
        made.write(name, pairs, votes, group_rows=7)
    config = folder / "labeled.json"
    gate = {"at_most": {"tie": 0.9}, "at_least": {"position_consistency": 0.1}}
    config.write_text(json.dumps({"gate": gate}), encoding="utf-8")
    assert (
        run_publish(made.output, "--input", made.source.uri, "--config", str(config)).exit_code == 0
    )
    return made


def run_report(output: object, *arguments: str) -> Outcome:
    """``python -m jobs.report`` in this process."""
    return run_job(main, ["--output", str(output), *arguments])


def newest_report(output: Store) -> tuple[Path, dict[str, Any]]:
    """The page and the metrics of the newest run that has a report."""
    keys = [e.key for e in output.list("runs") if e.key.endswith("/metrics.json")]
    page = output.path(keys[-1].replace("metrics.json", "report.html"))
    return Path(page), json.loads(output.read(keys[-1]))


def expected_kinds(corpus: Corpus) -> dict[str, set[str]]:
    """What each row of the live snapshot is shown as, read from labels and pairs themselves."""
    found = {}
    for label in [*live_rows(corpus.output), *live_rows(corpus.output, "quarantine")]:
        kinds = {label["status"]}
        gold = corpus.pairs[label["shard"]][label["row"]]["gold"]
        decided = {"labeled": label["preference"], "tie": "tie"}.get(label["status"])
        if decided is not None and gold is not None and gold != decided:
            kinds.add("gold")
        if decided is not None and label["confidence"] < 0.8:
            kinds.add("low")
        votes = [v for v in votes_of(corpus, label) if v["outcome"] == VERDICT]
        if {v["order"] for v in votes} == {"ab", "ba"} and not label["position_consistent"]:
            kinds.add("flips")
        found[f"{label['shard']}, row {label['row']}"] = kinds
    return found


def votes_of(corpus: Corpus, label: dict[str, Any]) -> list[dict[str, Any]]:
    """The votes of a row, out of the parts and not of the snapshot."""
    votes: list[dict[str, Any]] = corpus.shards[label["shard"]][label["row"]]["votes"]
    return votes


def _pair(number: int, rng: random.Random) -> dict[str, Any]:
    return pair(
        number,
        gold=rng.choice(("a", "b", "tie", None)),
        images=[{"bytes": picture(number), "path": None}] if number % 4 == 0 else None,
        response_a=response("word " * rng.randint(1, 400)),
        response_b=response("x" * rng.randint(1, 500)),
    )


def _hostile_pair() -> dict[str, Any]:
    return {
        "pair_id": HOSTILE,
        "prompt": HOSTILE,
        "source": HOSTILE,
        "images": [{"bytes": None, "path": HOSTILE}, {"bytes": b"no picture", "path": None}],
        "response_a": response(HOSTILE, model=HOSTILE),
        "response_b": response("b", images=[{"bytes": picture(1), "path": None}]),
    }
