"""Pictures and videos as the judge sees them: fetched, decoded within limits, upright, resized.

In: a media reference of a pair, and the judge's limits (``media_config``). Out: RGB pictures
(``images``) and clips of sampled frames (``videos``), or a ``RowRejected`` that says what is wrong
with the file. Frames are read by ``frame_reader`` and ``video_packets``. Read ``images`` first.
"""
