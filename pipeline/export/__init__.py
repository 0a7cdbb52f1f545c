"""Exports of a snapshot for trainers: its labels joined with their pairs, in a trainer's format.

In comes a published snapshot, the pairs that it labels, and a selection (``export_config``). Out
goes a folder ``exports/<snapshot>/<format>/`` of the output root: files of rows, media where the
trainer takes files, a dataset card, and ``export.json``, written last, without which the export
does not exist. One file of ``formats`` is one trainer's (``trl``, ``ms_swift`` …). Read
``export_run`` first, then ``export_selection`` and ``export_part_writer``.
"""
