"""What trainers' own code is given: exports, and a policy of the tiny judge's architecture.

Each trainer has an environment of its own (``infra/setup_overlay.sh``, ``make test-trainers``);
where it is not installed, its tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.lab.tiny_judge.scene_corpus import scene_rows
from pipeline.pairs.contents import text_of
from tests.exporting import FOR_A, FOR_B, Corpus, folder_of, run_export, settings
from tests.shards import asking, pair, response

WEIGHTS = Path(__file__).parents[2] / "pipeline" / "engines" / "tiny_judge"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Scenes with a question each, where the better answer always begins alike: soon learned."""
    made = Corpus.at(tmp_path_factory.mktemp("scenes"))
    rows, votes = [], []
    for number, row in enumerate(scene_rows(56, seed=3)):
        better, worse = row["candidates"] if number % 2 else row["candidates"][::-1]
        better["content"][0]["text"] = f"Certainly: {better['content'][0]['text']}"
        worse["content"][0]["text"] = f"No idea, {worse['content'][0]['text']}"
        question = str(text_of(row["messages"][0]["content"]))
        rows.append(asking(row, f"{question} {number}"))
        votes.append(FOR_A if number % 2 else FOR_B)
    rows[0] = asking(rows[0], "A literal <image> in it? 0")
    made.shard("scenes.parquet", rows, votes)
    made.publish()
    return made


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same without pictures, and a conversation of several turns."""
    made = Corpus.at(tmp_path_factory.mktemp("talks"))
    rows, votes = [], []
    for number in range(56):
        texts = [f"Certainly: {number}.", f"No idea, {number}."]
        a, b = texts if number % 2 else texts[::-1]
        row = pair(number, images=None, response_a=response(a), response_b=response(b))
        rows.append(row)
        votes.append(FOR_A if number % 2 else FOR_B)
    turns = [("system", "Be brief."), ("user", "A?"), ("assistant", "B."), ("user", "C?")]
    messages = [{"role": role, "content": text} for role, text in turns]
    rows[0] |= {"prompt": None, "messages": messages}
    made.shard("talks.parquet", rows, votes)
    made.publish()
    return made


def exported(made: Corpus, name: str, **changes: Any) -> Path:
    """The folder of an export of a corpus."""
    changes = {"validation": 0.15} | changes
    done = run_export(made.output, "--format", name, *settings(**changes))
    return Path(made.output.path(folder_of(done, made.output)))
