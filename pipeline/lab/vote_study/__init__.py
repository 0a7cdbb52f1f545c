"""Does asking adaptively pay? Ways of asking, compared on simulated and on stored votes.

Every way of asking drives the product's own rule (``next_orders`` and ``decide`` of
:mod:`pipeline.aggregation.decisions`); nothing of it is copied here. What is simulated is only the
judge (:mod:`pipeline.lab.vote_study.noise`). Where replies carry no margins the outcome is computed
exactly, by enumerating every sequence of votes (``exact``); where they do, votes are sampled with
stated seeds and replayed (``replay``), as are the stored votes of a real judge (``real``).

Accuracy is the same for all: over pairs with a better side, 1 if the label names it, 0 if it
names the other, one half for a tie, an abstention or a quarantined pair.
"""

from __future__ import annotations
