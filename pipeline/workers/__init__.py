"""The stages of the path of a pair: read, prepare, judge, commit. None knows the executor."""
