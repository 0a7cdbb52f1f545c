"""Where a run's Ray is: a private instance or a cluster, who may use it, and whether it lives.

In: the size of a worker pool. Out: a connection to Ray for the length of a block. Read
``ray_session.py`` first.
"""
