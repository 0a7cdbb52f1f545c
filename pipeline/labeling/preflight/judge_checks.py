"""Which judge a run would be, and whether an output has votes of it."""

from __future__ import annotations

from pipeline.engines.model_version import model_version
from pipeline.judging.judge_cards import judge_card
from pipeline.labeling.known_judge import known_judge
from pipeline.labeling.label_config import LabelConfig
from pipeline.labeling.preflight.check import Check
from pipeline.runtime.errors import (
    ConfigError,
    EndpointError,
    EngineStartError,
    InputError,
    StorageError,
)
from pipeline.store.object_store import Store

_NAME = "judge"


def judge_check(config: LabelConfig, output_uri: str | None) -> Check:
    """Names the judge's id, and says how it is recognised in the output."""
    try:
        if output_uri is None:
            version = model_version(config.judge.model, config.engine)
            judge_id = judge_card(config.judge, version, config.engine.kind)["judge_id"]
            return Check(_NAME, "ok", f"{judge_id[:16]}, if it is new to the output")
        _, known = known_judge(config, Store(output_uri))
    except (ConfigError, EngineStartError, EndpointError) as error:
        return Check(_NAME, "skipped", f"its weights are not known ({error})")
    except StorageError:
        return Check(_NAME, "skipped", "the output cannot be read")
    except InputError as error:
        advice = "restore the card, or remove it if its judge's labels are not needed"
        return Check(_NAME, "fail", str(error), advice)
    return Check(_NAME, "ok", f"{known.judge_id[:16]}, {known.found}")
