"""The settings under ``judge``: what can change a verdict, and how many votes are asked for.

A changed value makes another judge, except of ``votes`` and of where the weights lie
(:mod:`pipeline.judging.judge_identity`). Speed, resources and the policy have sections of their own
and can change without a single pair being judged again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.judging.bundle import CandidateKind as CandidateKind
from pipeline.judging.bundle import Format
from pipeline.judging.bundle_files import BundleSource, load_bundle, stored_bundle
from pipeline.judging.constraint import why_not_constrained
from pipeline.judging.prompts import Prompt, check_texts
from pipeline.judging.rubric_config import RubricConfig
from pipeline.judging.soft_verdicts import why_not_soft
from pipeline.media.media_config import MediaConfig
from pipeline.runtime.config_file import Frozen, without_secret_names


class ModelConfig(Frozen):
    """Which model judges, and at which precision."""

    name: str = "jongwooko/Flex-VL-7B"
    """A Hugging Face id, a local folder, or ``tiny-judge`` (the embedded one)."""
    revision: str | None = None
    """The commit of a hub model. By default the one that the output's judge has, and for its first
    run the newest; a branch is followed.
    """
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights; ``auto`` is what the checkpoint has."""
    quantization: str | None = None
    """How vLLM quantizes the weights, such as ``fp8``; none by default."""
    max_model_len: int = Field(default=16_384, ge=64)
    """Most tokens of a prompt and its reply together."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Further engine arguments that can change a verdict, such as ``kv_cache_dtype``."""
    env: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the engine's process that can change a verdict; what is known to
    concern speed alone stands under ``engine.env``. They are stored with the judge.
    """

    @field_validator("env")
    @classmethod
    def _no_secret(cls, env: dict[str, str]) -> dict[str, str]:
        return without_secret_names(env)


class SamplingConfig(Frozen):
    """How replies are sampled."""

    temperature: float = Field(default=0.2, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus sampling: only the likeliest tokens of this probability together."""
    max_tokens: int = Field(default=4_096, ge=1)
    """Most tokens of a reply; a longer one is ``truncated``."""
    retry_temperature: float = Field(default=0.7, gt=0)
    """Used after the first round of votes when ``temperature`` is 0, since greedy decoding would
    repeat the same reply word for word.
    """
    reply_prefix: Literal["", "<think>\n"] = ""
    """Text the reply is made to begin with: ``"<think>\n"`` or nothing."""
    constrained: bool = False
    """Whether the verdict, once the reasoning has ended, is held to the bundle's grammar: each
    reply is a verdict then, unless it means none. The first ``</think>`` that the judge writes ends
    its reasoning, wherever it may quote it from. Needs an engine that constrains (``vllm``).
    """
    soft_votes: bool = False
    """Whether a vote for a side is how likely each side was, by the log-probabilities of its
    verdict, in place of the one that was sampled. Needs an engine that gives log-probabilities, and
    verdicts of literals or short scores.
    """


FIRST_PRICE = 0.05  # with few ties any from 0.03 to 0.13 asks and stops at the same votes


class VotesConfig(Frozen):
    """How many replies a row may cost, and when they suffice.

    ``pipeline.aggregation.evidence`` has the rule.
    """

    min_votes: int = Field(default=2, ge=1)
    """Least votes of a row; both orders are always asked."""
    max_votes: int = Field(default=8, ge=1)
    """Most votes of a row; unparseable replies count too."""
    prior: float = Field(default=1.0, gt=0)
    """Of the stop rule's Beta prior, both sides alike; 1 is uniform."""
    margin_scale: float = Field(default=0.0, ge=0)
    """Score gap at which a vote counts three quarters for its side and one quarter for the
    other; 0 counts every vote whole.
    """
    threshold: float = Field(default=0.74, gt=0.5, lt=1)
    """Posterior probability that decides for a candidate. With the defaults a lead of two votes
    decides, and a vote with a tie beside it does not:
    ``infra/benchmarks/votes_2026-11-25.md`` has what that saves and costs.
    """
    tie_threshold: float = Field(default=0.85, gt=0.5, lt=1)
    """Posterior probability, of mostly ties, that decides for a tie; asked before the sides."""
    soft_weight: float = Field(default=1.0, ge=1, le=4)
    """How many sampled votes a soft one counts for (``judge.sampling.soft_votes``); ``pairmill
    calibrate`` says what it is worth.
    """
    stop: Literal["threshold", "gain"] = "threshold"
    """When votes suffice: once the posterior decides (``threshold``), or once another round is not
    expected to make the label right more often by ``price`` (``gain``), which gives votes to pairs
    where they change labels. Labels are decided by the thresholds either way;
    ``policy.threshold: 0.501`` takes each pair's likelier side.
    """
    price: float | None = Field(default=None, gt=0, lt=0.5)
    """Of ``stop: gain``: what another round must gain at least, in probability; 0.05 by default.
    Another price asks again about pairs that were judged under a higher one.
    """
    budget_per_pair: float | None = Field(default=None, gt=0)
    """Of ``stop: gain``, in place of ``price``: how many votes pairs may cost on average. Each run
    takes the price that would have kept the last one to it, and asks again about no pair for that.
    """

    @property
    def least_gain(self) -> float:
        """The price by which is asked."""
        return FIRST_PRICE if self.price is None else self.price

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_votes > self.max_votes:
            raise ValueError(f"min_votes {self.min_votes} > max_votes {self.max_votes}")
        if self.stop != "gain" and (self.price, self.budget_per_pair) != (None, None):
            raise ValueError("price and budget_per_pair are of stop: gain; set it, or leave them")
        if self.price is not None and self.budget_per_pair is not None:
            raise ValueError("price and budget_per_pair: a budget sets the price; expected one")
        if self.budget_per_pair is not None and self.budget_per_pair < self.min_votes:
            raise ValueError(
                f"budget_per_pair {self.budget_per_pair:g} < min_votes {self.min_votes}, which "
                "every pair costs"
            )
        return self


class TextFile(Frozen):
    """A file that stands in place of a text of the bundle, read where the configuration is."""

    file: str
    """Its name."""
    text: str
    """What it holds."""


def _text_file(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return TextFile(file=given, text=Path(given).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"got {given!r}, expected a text file ({error})") from error


OwnText = Annotated[TextFile | None, BeforeValidator(_text_file)]


class PromptConfig(Frozen):
    """Texts of your own in place of the bundle's, such as an author's exact ones."""

    system: OwnText = None
    """A file with the system text."""
    user: OwnText = None
    """A file with the user's turn around ``{context}``, ``{question}`` and ``{answers}``."""
    answer: OwnText = None
    """A file with one candidate: ``{answer}``, and its name as ``{assistant}``, ``{n}`` or
    ``{letter}``.
    """


class JudgeConfig(Frozen):
    """A judge."""

    bundle: Annotated[BundleSource, BeforeValidator(stored_bundle)] = "flex-vl"
    """What the judge is asked and how it replies: a shipped bundle's name, or a folder such as
    ``./mine`` (``pipeline/judging/bundles/README.md``; ``pairmill judge check`` tries one).
    """
    format: str = ""
    """One of the bundle's formats; the first of them unless it is named."""
    candidates: CandidateKind = "text"
    """What is judged: texts, images made for a prompt, images edited from a source image, or
    videos; the first that the format takes unless it is named. Rows with other candidates are
    quarantined.
    """
    rubric: RubricConfig | None = None
    """What is scored, for formats that take a rubric: ``criteria``, each with ``name``, ``text``,
    ``levels`` and ``weight``; ``overall``: ``weighted`` or ``asked``; ``metadata``: where rows have
    rubrics of their own.
    """
    prompt: PromptConfig = PromptConfig()
    allow_experimental: bool = False
    """Whether a bundle may judge of which no real reply is known, but constructed ones."""
    model: ModelConfig = ModelConfig()
    sampling: SamplingConfig = SamplingConfig()
    media: MediaConfig = MediaConfig()
    votes: VotesConfig = VotesConfig()

    @model_validator(mode="before")
    @classmethod
    def _with_the_bundles_own(cls, data: Any) -> Any:
        """Fills in what the bundle says where the configuration says nothing."""
        if not isinstance(data, dict):
            return data
        source = stored_bundle(data.get("bundle", cls.model_fields["bundle"].default))
        bundle = load_bundle(source)
        merged = {**_merged(bundle.declared.defaults, data), "bundle": source}
        merged["format"] = merged.get("format") or next(iter(bundle.formats))
        if merged["format"] in bundle.formats:
            taken = bundle.formats[merged["format"]].declared.candidates
            merged.setdefault("candidates", taken[0])
        return merged

    @model_validator(mode="after")
    def _possible(self) -> Self:
        bundle = load_bundle(self.bundle)
        formats = bundle.formats
        if self.format not in formats:
            raise ValueError(
                f"judge.format {self.format!r}: the bundle has {', '.join(formats)}; expected one "
                "of them"
            )
        if formats[self.format].takes_rubric != (self.rubric is not None):
            takes = "needs" if self.rubric is None else "takes no"
            raise ValueError(f"judge.rubric: the format {self.format} {takes} rubric")
        read = formats[self.format].declared.reply is not None  # a reward model's head is checked
        if read and not bundle.verified and not self.allow_experimental:
            raise ValueError(
                f"judge.bundle {bundle.name}: no transcript of it names a public origin, so that "
                "its grammar was never seen to fit real replies; try it on a few pairs and set "
                "judge.allow_experimental to true"
            )
        format_ = self.declared_format
        if self.sampling.constrained and (why := why_not_constrained(format_, self.reply_prefix)):
            raise ValueError(f"sampling.constrained: not of the format {self.format}: {why}")
        if self.sampling.soft_votes and (why := why_not_soft(format_)):
            raise ValueError(f"sampling.soft_votes: not of the format {self.format}: {why}")
        reward, rubric = format_.family == "reward", self.rubric is not None
        check_texts(self._own_texts, reward=reward, rubric=rubric)
        taken = format_.declared.candidates
        if self.candidates not in taken:
            raise ValueError(
                f"judge.candidates {self.candidates!r}: the format {self.format} takes "
                f"{', '.join(taken)}"
            )
        if self.votes.max_votes < len(format_.orders(format_.counts[0], 0, "")):
            raise ValueError("votes.max_votes must be at least 2: both orders are always judged")
        if self.candidates == "video" and self.media.video.max_videos == 0:
            raise ValueError("candidates: video needs media.video.max_videos of 1 or more")
        return self

    @model_validator(mode="after")
    def _room_for_prompts(self) -> Self:
        writes = self.declared_format.family != "reward"
        if writes and self.sampling.max_tokens >= self.model.max_model_len:
            raise ValueError(
                f"sampling.max_tokens {self.sampling.max_tokens} leaves no room for a prompt in "
                f"model.max_model_len {self.model.max_model_len}"
            )
        return self

    @property
    def declared_format(self) -> Format:
        """The bundle's format: what is asked about, and how replies are read."""
        names = self.rubric.names if self.rubric else ()
        return _declared_format(self.bundle, self.format, names)

    @property
    def prompt_texts(self) -> Prompt:
        """The texts of the prompt."""
        return self._own_texts.with_rubric(self.rubric.text if self.rubric else "")

    @property
    def _own_texts(self) -> Prompt:
        texts = load_bundle(self.bundle).prompt(self.format, self.candidates)
        given = {name: own.text for name, own in self.prompt if own is not None}
        return replace(texts, **given)

    def asking(self, rubric: RubricConfig | None) -> JudgeConfig:
        """The same judge, which asks by a row's own rubric where there is one."""
        return self if rubric is None else self.model_copy(update={"rubric": rubric})

    @property
    def most_prompt_tokens(self) -> int:
        """How long a prompt may be: what the reply leaves, of which a reward model writes none."""
        written = self.sampling.max_tokens if self.declared_format.family != "reward" else 0
        return self.model.max_model_len - written

    @property
    def reply_prefix(self) -> str:
        """What replies are made to begin with: as configured, or else as the bundle says."""
        return self.sampling.reply_prefix or self.declared_format.declared.reply_prefix


@lru_cache(4_096)  # rows may have rubrics of their own
def _declared_format(source: BundleSource, name: str, criteria: tuple[str, ...]) -> Format:
    format_ = load_bundle(source).formats[name]
    return format_.with_criteria(criteria) if criteria else format_


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over their defaults, section by section."""
    merged = {**defaults, **given}
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(given.get(name), dict):
            merged[name] = _merged(default, given[name])
    return merged
