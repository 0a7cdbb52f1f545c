"""What media and texts cost, measured for the shortest time."""

import json
from pathlib import Path

from jobs.bench import main


def test_the_costs_of_texts_pictures_and_clips_are_told(tmp_path: Path) -> None:
    told = tmp_path / "decode.json"
    assert main(["decode", "--seconds", "0", "--json", str(told)]) == 0
    rows = {row["medium"]: row for row in json.loads(told.read_text(encoding="utf-8"))["rows"]}
    clip = "H.264 640x360, 8 of 64 frames"
    assert list(rows) == ["texts", "JPEG 448²", "JPEG 1 MP", "JPEG 4 MP", clip]
    assert rows["texts"]["kilobytes"] == 8  # two prompts of ~330 words and the system text
