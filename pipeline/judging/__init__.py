"""What a judge is and what a verdict is; needs no Ray, no engine and no torch.

In: a judge's configuration (``judge_config``), and replies. Out: the judge's id and card
(``judge_cards``), prompts (``prompts``), parsed verdicts (``parsing``), votes (``votes``), and the
layout of stored labels (``label_parts``). Read ``judging_formats`` first: it ties these together.
"""
