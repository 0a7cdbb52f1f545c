"""Composes the stages: the plan, the Ray Data flow and what surrounds them."""
