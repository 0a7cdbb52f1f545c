"""Settings of the property tests: shared machines are slow at times, and that fails nothing."""

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
