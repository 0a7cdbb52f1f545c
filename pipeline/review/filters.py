"""Which labels a page shows, in what order: chosen by links and forms, and held in the address."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from pipeline.runtime.errors import InputError
from pipeline.runtime.suggestion import did_you_mean

FACETS = {
    "status": "status",
    "outcome": "prefers",
    "reason": "reason",
    "orders": "both orders",
    "judge": "decided by",
    "others": "other judges",
    "gold": "against gold",
    "source": "source",
}
_CRITERION = "criterion."  # a facet of each criterion: which candidate it prefers
RANGES = {"confidence": "confidence", "margin": "margin", "p_a": "p(a)", "votes": "votes"}
SORTS = {
    "": "shard and row",
    "confidence": "least confident first",
    "-confidence": "most confident first",
    "margin": "closest scores first",
    "-margin": "clearest scores first",
    "-votes": "most votes first",
}
NO_VALUE = "none"  # in addresses, for rows that have no such value


def criterion_facet(name: str) -> str:
    """The facet of a criterion."""
    return f"{_CRITERION}{name}"


def facet_title(facet: str) -> str:
    """A facet for people."""
    if facet.startswith(_CRITERION):
        return f"{facet.removeprefix(_CRITERION)} prefers"
    return FACETS[facet]


@dataclass(frozen=True)
class Filters:
    """What is asked for.

    Attributes:
        chosen: of facets, the values of which a row must have one; of a facet without any, all.
        between: of numbers, the least and the greatest value.
        pair: how a pair's id begins, or all of it.
        sort: a key of ``SORTS``.
        page: from 1.
    """

    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pair: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def parse(cls, given: Sequence[tuple[str, str]]) -> Filters:
        """The filters of an address.

        Args:
            given: names and values, as they stand in its query.

        Raises:
            InputError: a name is no filter, or a value is none of its.
        """
        chosen: dict[str, list[str]] = {}
        limits: dict[str, list[float]] = {}
        plain = {"pair": "", "sort": "", "page": "1"}
        for name, value in given:
            base, _, end = name.rpartition("_")
            if name in FACETS or name.startswith(_CRITERION):
                if value:
                    chosen.setdefault(name, []).append(value)
            elif base in RANGES and end in ("min", "max"):
                if value:
                    pair = limits.setdefault(base, [-math.inf, math.inf])
                    pair[end == "max"] = _number(name, value)
            elif name in plain:
                plain[name] = value
            else:
                known = [*FACETS, *plain, *(f"{n}_{e}" for n in RANGES for e in ("min", "max"))]
                raise InputError(f"there is no filter {name!r}{did_you_mean(name, known)}")
        if plain["sort"] not in SORTS:
            raise InputError(f"sort: got {plain['sort']!r}, expected one of {', '.join(SORTS)}")
        if not plain["page"].isdecimal() or not 1 <= int(plain["page"]) <= 10**9:
            raise InputError(f"page: got {plain['page']!r}, expected a number from 1")
        return cls(
            {name: tuple(dict.fromkeys(values)) for name, values in chosen.items()},
            {name: (low, high) for name, (low, high) in limits.items()},
            plain["pair"].strip(),
            plain["sort"],
            int(plain["page"]),
        )

    def query(self) -> str:
        """The query of the address of this page."""
        return urlencode(list(self._fields()))

    def hidden(self, *but: str) -> list[tuple[str, str]]:
        """Names and values for a form that states some of them anew."""
        return [(n, v) for n, v in self._fields() if n not in (*but, "page")]

    def toggled(self, facet: str, value: str) -> Filters:
        """With a value of a facet added, or without it where it is chosen; from the first page."""
        had = self.chosen.get(facet, ())
        now = tuple(v for v in had if v != value) if value in had else (*had, value)
        chosen = {**self.chosen, facet: now}
        return replace(self, chosen={k: v for k, v in chosen.items() if v}, page=1)

    def on_page(self, page: int) -> Filters:
        """The same on another page."""
        return replace(self, page=page)

    @property
    def any(self) -> bool:
        """Whether anything is filtered."""
        return bool(self.chosen or self.between or self.pair)

    def _fields(self) -> Iterator[tuple[str, str]]:
        for name, values in self.chosen.items():
            for value in values:
                yield name, value
        for name, (low, high) in self.between.items():
            if low > -math.inf:
                yield f"{name}_min", f"{low:g}"
            if high < math.inf:
                yield f"{name}_max", f"{high:g}"
        if self.pair:
            yield "pair", self.pair
        if self.sort:
            yield "sort", self.sort
        if self.page > 1:
            yield "page", str(self.page)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name}: got {value!r}, expected a number")
    return number
