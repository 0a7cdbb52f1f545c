"""Evaluation of a judge on gold pairs: benchmarks, figures of agreement, controls, reports."""
