"""The pairmill pipeline: core (pure) → workers (stages) → assembly (Ray Data and the store)."""
