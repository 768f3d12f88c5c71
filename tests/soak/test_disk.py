"""Thousands of lives of the journal on a disk that fails at random; see `tests/journal/test_random_faults.py`."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.journal.days import live_on
from tests.journal.lives import live

from .conftest import Measured

pytestmark = pytest.mark.soak

LIVES = 6
SEEDS = 1500
SEEDS_AT_ONCE = 500
# Others than those of the short form.
FIRST_SEED = 1000


def figures(injected: Counter[str], seeds: int) -> dict[str, int]:
    """What happened in all these lives, by name."""
    deaths = sum(count for name, count in injected.items() if name.startswith("death at"))
    refused = sum(count for name, count in injected.items() if name.startswith(("refused ", "done and refused ")))
    return {
        "lives": seeds * LIVES,
        "power_cuts": injected["power cut"],
        "deaths_in_a_call": deaths,
        "refused_calls": refused,
        "lost_syncs": injected["lost pages"],
        "short_writes": injected["short write"],
        "full": injected["full"],
    }


def test_disk_fails_at_random(tmp_path: Path, measured: Measured) -> None:
    injected: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with capture_logs():
            injected += live(folder, seed, LIVES)
        shutil.rmtree(folder)
    measured(**figures(injected, SEEDS))


async def test_disk_fails_at_random_beside_the_journals_own_threads(tmp_path: Path, measured: Measured) -> None:
    injected: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS_AT_ONCE):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with capture_logs():
            injected += await live_on(folder, seed, LIVES)
        shutil.rmtree(folder)
    measured(**figures(injected, SEEDS_AT_ONCE))
