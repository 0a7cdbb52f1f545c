"""What a judge is and what a verdict is; needs no Ray, no engine and no torch.

In: a judge's configuration (``judge_config``), and replies. Out: the judge's identity
(``judge_identity``) and card (``judge_cards``), prompts (``prompts``), parsed verdicts
(``parsing``), and votes (``votes``). Read ``bundle`` first: it ties these together, and says what
the folders of ``bundles/`` declare.
"""
