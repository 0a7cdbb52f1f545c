"""ms-swift's own loader reads our exports, pictures as responses included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.exporting import FOR_A, FOR_B, Corpus
from tests.shards import as_v1, pair, picture, response
from tests.trainers.conftest import exported

pytest.importorskip("swift")


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What ms-swift makes of an export; rows that it drops are an error."""
    from swift.dataset import load_dataset

    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    found, _ = load_dataset(files, split_dataset_ratio=0, strict=True, load_from_cache_file=False)
    return list(found)


@pytest.mark.parametrize("mode", ["files", "inline"])
def test_pairs_with_pictures(
    scenes: Corpus, shared_ray: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    from swift.template.template_inputs import TemplateInputs

    folder = exported(scenes, "ms-swift", media__mode=mode)
    rows = loaded(folder, monkeypatch, tmp_path)
    assert len(rows) == 56
    pictures = {as_v1(row)["images"][0]["bytes"] for row, _ in scenes.joined()}
    for row in rows:
        inputs = TemplateInputs.from_dict(row)
        sides = (inputs.chosen, inputs.rejected)
        last = [side.messages[-1]["content"] for side in sides]
        assert last[0].startswith("Certainly: ")
        assert last[1].startswith("No idea, ")
        for side in sides:
            (image,) = side.images
            data = (folder / image["path"]).read_bytes() if mode == "files" else image["bytes"]
            assert data in pictures
            assert "".join(each["content"] for each in side.messages).count("<image>") == 1
        assert inputs.chosen.margin in (5.0, 7.0)


def test_pictures_as_responses(
    shared_ray: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from swift.template.template_inputs import TemplateInputs

    made = Corpus.at(tmp_path / "made", candidates="image")
    rows = []
    for number in range(4):
        a, b = ([{"bytes": picture(10 * number + i), "path": None}] for i in (1, 2))
        answers = {"response_a": response(None, images=a), "response_b": response(None, images=b)}
        rows.append(pair(number, images=None, **answers))
    made.shard("a.parquet", rows, [FOR_A, FOR_B, FOR_A, FOR_B])
    made.publish()
    folder = exported(made, "ms-swift", validation=0)
    found = [TemplateInputs.from_dict(row) for row in loaded(folder, monkeypatch, tmp_path)]
    sides = [
        [getattr(each, side).images[0]["bytes"] for each in found]
        for side in ("chosen", "rejected")
    ]
    assert sides == [
        [picture(10 * number + 1 + number % 2) for number in range(4)],
        [picture(10 * number + 2 - number % 2) for number in range(4)],
    ]
    assert {each.rejected.messages[-1]["content"] for each in found} == {"<image>"}
