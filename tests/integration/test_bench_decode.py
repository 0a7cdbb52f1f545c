"""What media and texts cost, measured for the shortest time."""

import json
from pathlib import Path

from jobs.bench import main


def test_texts_pictures_and_clips_are_measured(tmp_path: Path) -> None:
    written = tmp_path / "decode.json"
    assert main(["decode", "--seconds", "0", "--json", str(written)]) == 0
    rows = {row["medium"]: row for row in json.loads(written.read_text(encoding="utf-8"))["rows"]}
    clip = "H.264 640x360, 8 of 64 frames"
    assert list(rows) == ["texts", "JPEG 448²", "JPEG 1 MP", "JPEG 4 MP", clip]
    assert rows["texts"]["kilobytes"] == 8  # two prompts of ~330 words and the system text
