"""Exports of snapshots in the formats that trainers read."""
