"""The probes that the gate's thresholds ask for: of a judge, on the canaries' gold pairs."""

from __future__ import annotations

from pipeline.evaluation.probed_pairs import GoldSource
from pipeline.evaluation.probes import ProbeRun
from pipeline.gold.people import read_people
from pipeline.judging.judge_cards import find_card, judge_of
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.store.object_store import Store


def gate_probes(config: PipelineConfig, output: Store, judge: str) -> ProbeRun | None:
    """The probes of a judge, judged or not; None where no threshold asks for them.

    Args:
        config: its gate says what is asked for, its canaries which gold pairs are altered.
        output: where the judge's card is.
        judge: its id, or how that begins.

    Raises:
        PairmillError: the judge or the gold pairs cannot be found, or do not go together.
    """
    canary = config.canary.input
    if not config.gate.asks_probes or canary is None:
        return None
    card = find_card(output, judge)
    of_judge = config.model_copy(update={"judge": judge_of(card)})
    read = config.canary.read_as(config.input)
    source = GoldSource(canary, read, read_people(output, config.gold))
    return ProbeRun(of_judge, config.probes, card, source, output)
