"""Pictures and videos as the judge sees them, which is as a browser shows them.

In: a media reference of a pair (``media_store``), and the judge's limits (``media_config``). Out:
RGB pictures (``images``) and clips of sampled frames (``videos``), or a ``RowRejected`` that says
what is wrong: ``jpeg_scans`` and ``missing_pixels`` find gaps, ``signatures`` names other files.
"""
