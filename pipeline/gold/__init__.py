"""People's answers about pairs: sets of pairs, and what each annotator said about each of them.

In: pairs that were drawn or imported, and answers. Out: one answer a pair (``people``), which
calibration, evaluation, the gate, audits and error bounds are measured by, and files of other
annotation tools. Each answer is an object that is created and never replaced; an undo is one more.
Read ``answers`` first, then ``consensus`` and ``people``.
"""
