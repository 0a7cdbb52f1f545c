"""Snapshots: published, immutable sets of labels that readers find through ``LATEST.json``."""
