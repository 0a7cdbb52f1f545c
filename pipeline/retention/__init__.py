"""What of an output is kept, and what is removed: ``pairmill clean`` and ``forget``.

In: everything that is stored under an output root, and how much of each kind is to stay. Out: a
list of what may go and why, and, if asked, an output without it. What is live, what a kept snapshot
names, votes that are in no other part, and files that nobody here wrote never go. Read
``clean.py`` first, then ``kinds.py``; the files ``stored_….py`` say what there is of each kind.
"""
