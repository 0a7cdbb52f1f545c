"""Exports of snapshots in the formats that trainers read."""

from pipeline.assembly.export.run import ExportResult, export_snapshot

__all__ = ["ExportResult", "export_snapshot"]
