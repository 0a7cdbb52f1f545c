"""Many faults as a few blocks: one for each kind, with the first places where it is."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.runtime.printable import one_line

_SHOWN = 3


def fault_blocks(faults: Iterable[tuple[str, str]], most: int = 20) -> str:
    """Lists faults by kind, for a message.

    Args:
        faults: what is wrong, and where, in any order.
        most: so many kinds are listed.

    Returns:
        for each kind what is wrong and, in the line below, in how many places and the first three.
    """
    places: dict[str, list[str]] = {}
    for what, where in faults:
        places.setdefault(one_line(what), []).append(one_line(where))
    lines = []
    for what, found in list(places.items())[:most]:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        lines += [f"  {what}", f"    {', '.join(found[:_SHOWN])}{more}"]
    if len(places) > most:
        lines.append(f"  and {len(places) - most} kinds more")
    return "\n".join(lines)
