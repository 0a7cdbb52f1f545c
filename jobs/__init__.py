"""The commands: thin entry points, one module each, that never import one another."""

import sys

if sys.argv[0] == "-m":  # as long as Python looks for the module: `python -m jobs.NAME`
    from pipeline.runtime.ending import this_process_is_a_command

    this_process_is_a_command()
