"""Which objects of an output this software wrote, by the exact form of their keys.

``pairmill clean`` removes no other ones; it lists them, so that people see what they put there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pipeline.retention import stored_runs, stored_snapshots
from pipeline.retention.clean import CleanPlan
from pipeline.retention.kinds import EXPORTS
from pipeline.retention.stored import JUDGE, PART
from pipeline.retention.stored_parts import INDEX_FILES
from pipeline.store.object_store import Entry

_OURS = re.compile(
    "|".join(
        f"(?:{pattern})"
        for pattern in (
            r"judges/[0-9a-f]{16}\.json",
            r"prices/[0-9a-f]{16}\.json",
            r"forgotten/\d{6}\.json",
            r"leases/\w+\.json",
            r"doctor/(?:probe|swap)",
            r"snapshots/LATEST\.json",
            rf"parts/{JUDGE}/{PART}",
            rf"index/{INDEX_FILES}",
            rf"snapshots/{stored_snapshots.PATTERN}",
            rf"snapshots/{stored_snapshots.FILES}",
            r"cache/content/[0-9a-f]{16}/[0-9a-f]\.json",
            rf"runs/{stored_runs.RUN_FILES}",
            rf"canaries/{stored_runs.CANARIES}",
            rf"probes/{stored_runs.PROBES}",
            rf"attempts/(?:{stored_runs.UNIT_MARKS}|{stored_runs.START_MARKS})",
            rf"derived/{stored_runs.DERIVED}",
            r"(?:evaluations|gold|audits)/.*",  # made by hand and with people: never removed
        )
    )
)


def others(plan: CleanPlan) -> Iterator[Entry]:
    """The objects of an output that are not ours, as it is now.

    Args:
        plan: of all kinds. Which files of an export are ours, only its records say.
    """
    exports = [*plan.kept[EXPORTS.name], *(each.thing for each in plan.of_kind(EXPORTS.name))]
    exported = {entry.key for thing in exports for entry in thing.entries}
    for entry in plan.stored.output.list():
        if entry.key not in exported and not _OURS.fullmatch(entry.key):
            yield entry


def shown(entries: Iterable[Entry], most: int = 10) -> dict[str, object]:
    """The log fields about objects that are not ours."""
    listed = list(entries)
    return {
        "objects": len(listed),
        "bytes": sum(entry.size for entry in listed),
        "such_as": [entry.key for entry in listed[:most]],
    }
