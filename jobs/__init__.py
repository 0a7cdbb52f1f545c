"""The commands: thin entry points, one module each, that never import one another."""
