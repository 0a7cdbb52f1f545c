"""Published results, how they were obtained, and what of that a run does otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.labeling.label_config import LabelConfig

JUDGE = "jongwooko/Flex-VL-7B"
# Policies of majorities: one vote more decides; ties decide where nothing else does.
ANY_LEAD, NEVER = 0.501, 0.999
_OPTION = "--as-published"


@dataclass(frozen=True)
class Published:
    """A result that was published for Flex-VL-7B, and for its base model Qwen2.5-VL-7B.

    Attributes:
        figure: the name of the measure that it is of.
        category: of which category; None for the whole benchmark.
        flex: Flex-VL-7B's result, on the scale of the measure.
        base: the base model's, where the paper gives it.
        note: how it was obtained, where that is not obvious.
    """

    figure: str
    category: str | None
    flex: float
    base: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Setting:
    """How a benchmark's published results were obtained.

    Attributes:
        settings: of the configuration that make a run alike, by dotted names.
        other: what no setting makes alike: how it is here, and how it was there.
        pairs: rows of the data then; None where that is not known.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    other: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    pairs: int | None = None

    def overrides(self) -> tuple[str, ...]:
        """The settings as a command line gives them: ``key.path=value``."""
        return tuple(f"{path}={json.dumps(value)}" for path, value in self.settings.items())


@dataclass(frozen=True)
class Difference:
    """What a run does otherwise than the published one.

    Attributes:
        what: in a word or two, or the name of a setting.
        here, published: how it is in each.
        alike_with: the option or setting that makes it alike.
    """

    what: str
    here: str
    published: str
    alike_with: str


# Common to the scripts in ``test/`` of github.com/jongwooko/flex-judge.
FLEX_JUDGE = Setting(
    settings={
        "judge.sampling.temperature": 0.6,
        "judge.sampling.top_p": 0.95,
        "judge.sampling.max_tokens": 4_096,
        "judge.sampling.reply_prefix": "",
        "policy.undecided": "tie",
        "policy.min_confidence": 0.0,
    },
    other={
        "prompt": ("our words to the same demands", "the authors' words"),
        "a reply without a verdict": (
            "asked again; in the end quarantined, never right",
            "counted as a tie",
        ),
        "engine": ("the installed one", "vLLM 0.8.5"),
    },
)


def differences(setting: Setting, config: LabelConfig, pairs: int) -> list[Difference]:
    """What differs from a published setting, what can be made alike first.

    Args:
        setting: the published one.
        config: of the run.
        pairs: how many pairs the run judged.
    """
    found = [
        Difference(path, _shown(here), _shown(value), _OPTION)
        for path, value in setting.settings.items()
        if (here := _at(config, path)) != value
    ]
    model = config.judge.model
    for path, here, there in (
        ("judge.model.name", model.name, JUDGE),
        ("judge.model.quantization", model.quantization, None),
    ):
        if here != there:
            found.append(Difference(path, _shown(here), _shown(there), path))
    if setting.pairs is not None and pairs != setting.pairs:
        alike = "all pairs of that release of the data"
        found.append(Difference("pairs", f"{pairs:,}", f"{setting.pairs:,}", alike))
    own_words = any(config.judge.prompt.model_dump().values())
    for what, (here, there) in setting.other.items():
        if what == "prompt":
            here = "that of judge.prompt" if own_words else here
            found.append(Difference(what, here, there, "judge.prompt: their texts as files"))
        else:
            found.append(Difference(what, here, there, "nothing"))
    return found


def _at(config: LabelConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value) or "none"
