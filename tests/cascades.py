"""Cascades of scripted judges for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.labeling import write_config

# The first judge is unsure of a pair with the one, and cannot be read about one with the other.
SCRIPT: dict[str, Any] = {"faults": {"HARD": "flip", "BROKEN": "malformed"}}


def cascade_config(
    path: Path, model: Path, accepts: float = 0.8, script: dict[str, Any] | None = None, **more: Any
) -> Path:
    """Two scripted judges; the first has two votes a pair, which agree with 0.875.

    Args:
        path: of the configuration.
        model: a model folder.
        accepts: the first one's least confidence.
        script: what its engine does beside that.
        more: sections beside them.
    """
    script = SCRIPT | (script or {})
    first = {
        "judge": {"model": {"name": str(model)}, "votes": {"max_votes": 2}},
        "policy": {"min_confidence": accepts},
        "engine": {"kind": "scripted", "decode_threads": 2, "script": script},
        "workers": {"gpus": 0, "cpus": 1},
    }
    judge = {"sampling": {"temperature": 0.9}}
    return write_config(path, model, {"judge": judge, "cascade": {"judges": [first]}, **more})
