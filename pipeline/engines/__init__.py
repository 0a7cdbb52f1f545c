"""The models that reply: vLLM, transformers, and a scripted one for tests, behind one interface.

In: a chat of texts, pictures and clips (``engine.Chat``), and how to sample. Out: a ``Reply``.
``engine_registry`` starts the engine that the configuration names and imports its libraries only
then; ``model_version`` says which weights will run. Read ``engine`` first.
"""
