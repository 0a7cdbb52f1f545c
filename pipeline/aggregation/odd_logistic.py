"""A logistic function that is odd: exchanging the candidates exchanges the probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.stats.arrays import Floats


def odd_weights(x: Floats, gold: Floats, scale: Floats) -> Floats:
    """Logistic weights of features that change sign with the sides, without an intercept.

    Each pair is used in both directions, and a gold tie counts half for each side. A feature that
    would get a negative weight (they are correlated, so that one may offset the others) is left
    out, and the rest fitted again: no vote for a candidate counts against it.

    Args:
        x: the features, (pairs, features).
        gold: 1.0 where people prefer ``a``, 0.0 where ``b``, 0.5 for a tie.
        scale: what each feature is divided by before weights are kept small (C = 1); one of 0 is
            left out.

    Returns:
        A weight for each feature, none of them negative.
    """
    from sklearn.linear_model import LogisticRegression  # here, since it takes a second

    both_ways = np.concatenate([x, -x, x, -x])
    target = np.repeat([1, 0, 0, 1], len(x))
    share = np.concatenate([gold, gold, 1 - gold, 1 - gold]) / 2
    used = np.flatnonzero(scale)
    weights = np.zeros(x.shape[1])
    while used.size:
        model: Any = LogisticRegression(solver="newton-cholesky", fit_intercept=False, tol=1e-8)
        model.fit(both_ways[:, used] / scale[used], target, sample_weight=share)
        fitted = model.coef_[0]
        if np.all(fitted >= 0):
            weights[used] = fitted / scale[used]
            break
        used = np.delete(used, np.argmin(fitted))
    return weights
