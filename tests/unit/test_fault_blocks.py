"""Many faults of one kind are one block."""

from __future__ import annotations

from pipeline.runtime.fault_blocks import fault_blocks


def test_a_block_for_each_kind_with_its_first_places() -> None:
    faults = [("no column 'x'", f"{number:02}.parquet") for number in range(40)]
    faults.insert(7, ("not Parquet", "odd.parquet"))
    assert fault_blocks(faults) == (
        "  no column 'x'\n"
        "    00.parquet, 01.parquet, 02.parquet and 37 more\n"
        "  not Parquet\n"
        "    odd.parquet"
    )


def test_so_many_kinds_are_listed() -> None:
    faults = [(f"kind {number}", "a") for number in range(5)]
    assert fault_blocks(faults, most=2) == "  kind 0\n    a\n  kind 1\n    a\n  and 3 kinds more"
