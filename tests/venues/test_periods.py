"""Whatever candles a venue has, a backfill, the page and `collector.data` know their periods."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from collector.model import PERIODS
from collector.venues.finam.periods import FRAMES
from collector.venues.fmex.topics import VENUE_PERIODS as FMEX
from collector.venues.fmfw.candles import VENUE_PERIODS as FMFW
from collector.venues.metaapi.periods import MT4_PERIODS, MT5_PERIODS


@pytest.mark.parametrize("names", [FMFW.values(), FMEX.values(), FRAMES, MT4_PERIODS, MT5_PERIODS])
def test_period_of_a_venue_is_one_of_ours(names: Iterable[str]) -> None:
    assert set(names) <= set(PERIODS)


def test_metatrader_5_has_twenty_one_periods() -> None:
    assert len(MT5_PERIODS) == 21
    assert [MT5_PERIODS[name] for name in ("2m", "4m", "6m", "12m", "20m")] == [120, 240, 360, 720, 1200]
