"""The journal on a disk that fails at random: what was promised holds, whatever the disk does and whenever the end is.

Held in every life, on a disk that refuses calls, takes a part of a write, loses pages in a sync and is full at times:

* what `sync` returned for survives a power cut, what `flush` returned for survives a kill;
* nothing is read that was not written there, nothing twice, nothing in another order, and places never change;
* damage is where a death left something unfinished, and nowhere else;
* no segment is deleted that is not committed, and the last session's number is known;
* memory holds no more than `buffer_bytes` and a record;
* as soon as the disk takes what it is given, everything is on it.

The long form is `tests/soak/test_disk.py`. A seed that fails with `live` fails again; with the journal's own threads
(`live_on`) that may take a few times.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .days import live_on
from .lives import live

LIVES = 6
SEEDS = 60
SEEDS_AT_ONCE = 4


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_a_journal_keeps_its_promises_through_deaths_and_faults(tmp_path: Path, first: int) -> None:
    injected: Counter[str] = Counter()
    for seed in range(first, first + 20):
        (tmp_path / str(seed)).mkdir()
        injected += live(tmp_path / str(seed), seed, LIVES)

    for fault in ("power cut", "lost pages", "full", "refused write", "refused create", "short write", "EFBIG"):
        assert injected[fault], f"{fault} was to be tried"


async def test_a_journal_at_work_keeps_its_promises_through_deaths_and_faults(tmp_path: Path) -> None:
    injected: Counter[str] = Counter()
    for seed in range(SEEDS_AT_ONCE):
        (tmp_path / str(seed)).mkdir()
        injected += await live_on(tmp_path / str(seed), seed, LIVES)

    assert injected["full"] + injected["refused write"] > 0
