"""Pairs as the judge will see them, before anything is judged and without an engine.

In: a configuration and an input. Out: for a few pairs the exact turn, its pictures, its length in
tokens and the row's gold, and which columns nothing reads. Read ``preview_pairs.py`` first.
"""
