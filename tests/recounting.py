"""Every rate of a snapshot from raw rows, in plain Python, for tests to hold others against."""

from __future__ import annotations

from tests.derivations import Row


def said(row: Row) -> str:
    return str(row["preference"] if row["status"] == "labeled" else row["status"])


def tally(flags: list[bool]) -> tuple[int, int]:
    return sum(flags), len(flags)


def recount(pairs: list[tuple[Row, Row]]) -> dict[str, tuple[int, int]]:
    """Every rate but those of canaries, from raw rows."""
    rows = [row for _, row in pairs]
    judged = [row for row in rows if row["status"] != "quarantined"]
    votes = [vote for row in rows for vote in row["votes"]]
    sided = [
        vote
        for row in rows
        if {vote["order"] for vote in row["votes"] if vote["outcome"] == "verdict"} == {"ab", "ba"}
        for vote in row["votes"]
        if vote["choice"] in ("a", "b")
    ]
    labeled = [(pair, row) for pair, row in pairs if row["status"] == "labeled"]
    gold = [(pair["gold"], said(row)) for pair, row in pairs if pair["gold"]]

    def longer(pair: Row) -> str | None:
        a, b = (len(pair[name]["text"] or "") for name in ("response_a", "response_b"))
        return None if 0 in (a, b) or a == b else "a" if a > b else "b"

    differ = [(longer(pair), pair, row) for pair, row in pairs if longer(pair)]
    return {
        "tie": tally([row["status"] == "tie" for row in judged]),
        "abstain": tally([row["status"] == "abstained" for row in judged]),
        "quarantine": tally([row["status"] == "quarantined" for row in rows]),
        "truncation": tally([vote["outcome"] == "truncated" for vote in votes]),
        "unreadable": tally([vote["outcome"] != "verdict" for vote in votes]),
        "position_consistency": tally([bool(row["position_consistent"]) for row in judged]),
        "first_slot_wins": tally([vote["choice"] == vote["order"][0] for vote in sided]),
        "preference_a": tally([row["preference"] == "a" for _, row in labeled]),
        "longer_wins": tally(
            [row["preference"] == side for side, _, row in differ if row["status"] == "labeled"]
        ),
        "gold_longer_wins": tally(
            [pair["gold"] == side for side, pair, _ in differ if pair["gold"] in ("a", "b")]
        ),
        "gold_agreement": tally([g == s for g, s in gold if {g, s} <= {"a", "b"}]),
        "gold_agreement_all": tally([g == s for g, s in gold]),
    }
