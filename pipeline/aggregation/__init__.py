"""From votes to labels: when votes suffice, what they say together, and how far to trust that.

In: the votes of a row, a policy (``policy``) and, if there is one, a calibration (``calibration``).
Out: the decided columns of labels v1. ``derive`` computes labels again from stored votes, and
``calibrate`` fits a calibration to gold pairs. Read ``evidence`` first, then ``decisions`` and
``labeler``.
"""
