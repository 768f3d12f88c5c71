"""A daemon whose adapter has bugs: one line, or one venue, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from collector.daemon.daemon import Daemon
from collector.demo.demo import settled
from collector.status.snapshot import snapshot
from collector.venues.events import Action, Event
from collector.venues.fmfw import FmfwConversation, FmfwVenue
from collector.venues.plan import Limits
from tests.kit.stage import live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

BAD = "fmfw-2"


def feeds(daemon: Daemon) -> dict[str, Any]:
    return {name: feed for one in daemon.workers.values() for name, feed in one.worker.connections.items()}


async def test_bugs_cost_their_line_and_their_venue_until_they_are_mended(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = True

    class Conversation(FmfwConversation):
        def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
            if broken and self._plan.name == BAD:
                raise KeyError("a symbol that nobody asked for")
            return super().handle(events, now)

    limits = FmfwVenue.limits

    def limited(self: FmfwVenue) -> Limits:
        if broken and self.settings.streams == ("trades",):
            raise ZeroDivisionError("limits")
        return limits(self)

    monkeypatch.setattr("collector.venues.fmfw.FmfwConversation", Conversation)
    monkeypatch.setattr(FmfwVenue, "limits", limited)
    async with stage(database, tmp_path, extra="symbols_per_connection = 3") as on:
        address = on.venue.address
        sister = f'rest_url = "{address["rest_url"]}"\nws_url = "{address["ws_url"]}"\n'
        more = f'\n[venues.sister]\nadapter = "fmfw"\nsymbols = ["*"]\nstreams = ["trades"]\n{sister}'
        on.config.write_text(on.config.read_text() + more)
        async with on.daemon() as daemon:
            await until(lambda: len(feeds(daemon)) > 2 and feeds(daemon)[BAD].reconnects > 1, "a line that fails")
            others = [feed for name, feed in feeds(daemon).items() if name != BAD]
            await until(lambda: all(feed.state == "live" for feed in others), "the other lines")
            await until(lambda: daemon.workers["sister"].failures > 0, "a venue that fails")
            assert [feed.reconnects for feed in others] == [0] * len(others)
            shown = {venue.venue: venue for venue in snapshot(daemon.observed).venues}
            assert shown["fmfw"].adapter_failures["conversation.handle"] > 1
            assert shown["fmfw"].failures == 0
            assert shown["sister"].failed
            assert "ZeroDivisionError: limits" in shown["sister"].reason

            broken = False
            await until(lambda: live(daemon) and BAD in feeds(daemon) and len(daemon.workers) == 2, "all lines")
            await until(lambda: bool(daemon.workers["sister"].worker.connections), "the sister")
            assert [feed.reconnects for feed in others] == [0] * len(others)
            whole = {symbol for feed in others for one in feed.plan.subscriptions for symbol in one.symbols}
            whole -= {symbol for one in feeds(daemon)[BAD].plan.subscriptions for symbol in one.symbols}
            [(lost,)] = await on.query(
                "select count(*) from v_gaps where symbol = any($1::text[]) and venue = 'fmfw' and cause <> 'starting'",
                sorted(whole),
            )
            assert whole
            assert lost == 0
            await on.ledger.pause()
            await settled(daemon.observed)
            await on.counts_add_up()
