"""Equal trades of a millisecond, many gaps, and several stretches of history read side by side: none is lost.

A line has told all trades but those in the gaps, each of which begins and ends between two equal ones where there are
any near; a backfill with its lanes reads the whole past, or a daemon repairs the gaps. Then the table holds each true
trade once, and a replay of the answers gives the same keys.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest

from collector import simulator, venues
from collector.clock import SystemClock
from collector.config import load
from collector.feed.network import AiohttpNetwork
from collector.model import BEGINNING, Gap, Instrument, Records
from collector.proof.replay import replay
from collector.repair.job import Job
from collector.store.batch import Batch
from collector.store.writer import Writer
from tests.kit.running import PATIENCE_SECONDS
from tests.kit.stage import Stage, live, until

from .conftest import Measured
from .pasts import FinamLongPast, FmexLongPast, FmfwLongPast, LongPast, MetaapiLongPast

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

ALL = [FmfwLongPast, FmexLongPast, MetaapiLongPast, FinamLongPast]
# A backfill's pieces are so long: a gap in each.
HOURS_A_GAP = 6.0
DUG = "dug by this test"
SHORT_PAGE = 20
# So many trades are looked at for two equal ones, where a gap begins and ends.
NEAR = 50


class Scene(Stage):
    """A venue with its past, a database with what a line told of it, and gaps."""

    def __init__(self, past: LongPast, dsn: str, config: Path) -> None:
        self.past = past
        self.dsn = dsn
        self.config = config
        self.deals = past.deals()
        self.gaps: list[tuple[int, int]] = []
        """The first deal of each gap, and the first behind it."""

    @property
    def equal_share(self) -> float:
        """How many of the moments with trades have equal ones."""
        said = Counter(deal[:4] for deal in self.deals)
        return len({deal[0] for deal, count in said.items() if count > 1}) / len({deal[0] for deal in said})

    def dig(self, count: int) -> None:
        """Lay out so many gaps, each a third of its share of the past."""
        share = len(self.deals) // count
        third, near = share // 3, min(share // 6, NEAR)
        self.gaps = [
            (self._twin(first + third, near), self._twin(first + 2 * third, near))
            for first in range(0, count * share, share)
        ]

    def _twin(self, place: int, near: int) -> int:
        """Return the place of the second of two equal trades near a place, or that place."""
        places = range(place, place + near)
        return next((one for one in places if self.deals[one][:4] == self.deals[one - 1][:4]), place)

    async def record(self) -> int:
        """Store what was told, one connection between two gaps; returns how many trades that was."""
        writer = Writer(lambda: self.dsn, None)
        edges = [0, *(edge for gap in self.gaps for edge in gap), len(self.deals)]
        told, instrument = 0, Instrument(self.past.venue, self.past.symbol)
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            for records in self.past.listen(self.deals[first:end]):
                told += len(records.trades)
                await writer.commit(Batch(records, BEGINNING, 1))
        out = Records()
        spans = [(self.deals[first - 1].time_us, self.deals[end].time_us) for first, end in self.gaps]
        out.gaps = [
            Gap(instrument, stream, *span, None, None, "disconnect", DUG)
            for span in spans
            for stream in self.past.streams
        ]
        await writer.commit(Batch(out, BEGINNING, 1))
        await writer.close()
        return told

    async def lost(self) -> int:
        """Compare the table with the truth; returns how many trades are missing, and fails for one that never was."""
        rows = await self.query(
            "select (extract(epoch from time) * 1000000)::bigint, price, size, side::int from v_trades"
            " where venue = $1 and symbol = $2",
            self.past.venue,
            self.past.symbol,
        )
        true, stored = Counter(deal[:4] for deal in self.deals), Counter(map(tuple, rows))
        assert not stored - true, "trades that never were"
        return (true - stored).total()

    async def states(self) -> dict[str, int]:
        """How many of the gaps that were dug are in which state."""
        return dict(await self.query("select state, count(*) from gaps where reason = $1 group by 1", DUG))

    async def keys(self, since_us: int) -> list[Any]:
        """What tells one set of keys from another, of each table."""
        return await self.query(
            "select 'trades', count(*), sum(trade_key::numeric) from trades where time >= to_timestamp($1 / 1e6)"
            " union all"
            " select 'ticks', count(*), sum(tick_key::numeric) from ticks where time >= to_timestamp($1 / 1e6)",
            since_us,
        )


@asynccontextmanager
async def scene(kind: type[LongPast], dsn: str, folder: Path, trades: int, hours: float) -> AsyncIterator[Scene]:
    switches = {**kind.switches(trades, hours), "running": False}
    async with simulator.serve([kind.venue], seed=9, symbols=kind.symbols, settings={kind.venue: switches}) as running:
        past = kind(running[kind.venue])
        past.fill(trades, hours)
        config = folder / "collector.toml"
        text = f'data_dir = "{folder / "data"}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n'
        config.write_text(
            f'{text}[repair]\nmax_age_days = "unlimited"\n[audit]\nenabled = false\n'
            + running.config().replace('ticks = "both"', 'ticks = "ticks"')
        )  # quotes have no past
        yield Scene(past, dsn, config)


def shorten_pages(kind: type[LongPast], patch: pytest.MonkeyPatch) -> None:
    if kind.pages_in:
        module, _, name = kind.pages_in.rpartition(".")
        patch.setattr(import_module(module), name, SHORT_PAGE)  # the package has a function of the module's name


@pytest.mark.parametrize(
    ("trades", "gaps"), [(4000, 12), pytest.param(1_000_000, 48, marks=pytest.mark.soak)], ids=["short", "long"]
)
@pytest.mark.parametrize("kind", ALL)
async def test_backfill_of_many_gaps_finds_every_trade_once(
    database: str,
    tmp_path: Path,
    kind: type[LongPast],
    trades: int,
    gaps: int,
    measured: Measured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = dict(kind.settings)
    if trades < 1_000_000:
        shorten_pages(kind, monkeypatch)
        changed |= {"history_page": SHORT_PAGE} if kind is FmexLongPast else {}
    async with scene(kind, database, tmp_path, trades, HOURS_A_GAP * gaps) as on:
        on.dig(gaps)
        told = await on.record()
        share, missing = on.equal_share, await on.lost()
        assert share > 0.05
        assert missing > len(on.deals) // 4
        settings = load(on.config, {}).venues[kind.venue].settings.model_copy(update=changed)
        since_us, began = on.deals[0].time_us + 1000, time.monotonic()
        async with (
            AiohttpNetwork.open() as network,
            Job(
                venues.find(kind.venue).begin(kind.venue, settings),
                rate_share=1.0,
                dsn=database,
                network=network,
                clock=SystemClock(),
                random=Random(1),
            ) as job,
        ):
            await job.listed()
            span = since_us, on.deals[-1].time_us + 1
            await job.plan([on.past.symbol], list(kind.streams), span, again=False)
            outcome = await job.run(tmp_path / "backfill")
        seconds = time.monotonic() - began
        lost = await on.lost()
        measured(
            venue=kind.venue,
            trades=len(on.deals),
            told=told,
            missing=missing,
            equal_share=share,
            lost=lost,
            pieces=len(job.left),
            answers=outcome.answers,
            seconds=seconds,
        )
        assert outcome.refused == {}
        assert lost == 0
        assert outcome.gaps == gaps * len(kind.streams)
        before = await on.keys(since_us)
        await on.query("truncate trades, ticks")
        writer = Writer(lambda: database, None)
        await replay(Path(outcome.journal), writer)
        await writer.close()
        assert await on.keys(since_us) == before


@pytest.mark.parametrize("kind", ALL)
async def test_daemon_repairs_many_gaps_side_by_side_without_losing_a_trade(
    database: str, tmp_path: Path, kind: type[LongPast], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = venues.find(kind.venue).venue
    limits = spoken.limits

    def generous(self: Any) -> Any:
        told = limits(self)
        return replace(told, rest_per_second=1000.0, quotas=dict.fromkeys(told.quotas, 1000.0))

    monkeypatch.setattr(spoken, "limits", generous)
    shorten_pages(kind, monkeypatch)
    async with scene(kind, database, tmp_path, trades=3000, hours=36.0) as on:
        on.dig(24)
        await on.record()
        assert await on.lost() > len(on.deals) // 4
        async with on.daemon() as daemon:
            await until(lambda: live(daemon), "a live daemon")
            end = time.monotonic() + 4 * PATIENCE_SECONDS
            while "open" in await on.states():
                assert time.monotonic() < end, daemon.venues.repairers[kind.venue]
                await asyncio.sleep(0.05)
        assert await on.states() == {"repaired": len(on.gaps) * len(kind.streams)}
        assert await on.lost() == 0
