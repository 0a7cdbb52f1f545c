"""Does asking adaptively pay? Voting strategies compared on simulated and on stored votes.

In come a seed and numbers of pairs, or the stored votes of a real judge (``real_votes``); out come
rows of accuracy and votes for each strategy and judge: exact where replies carry no margins
(``vote_enumeration``), else sampled and replayed (``vote_replay``). Every strategy runs the
product's own rules (``next_orders`` and ``decide`` of :mod:`pipeline.aggregation`); only
the judge is simulated (``judge_noise``). Read ``voting_strategies`` first, then ``study``.

Accuracy is defined alike for all: over pairs with a better side, 1 if the label names it, 0 if it
names the other, one half for a tie, an abstention or a quarantined pair.
"""
