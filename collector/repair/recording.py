"""Stores answers of a venue's history, for a process that is not the daemon.

The daemon's journal is locked while it runs, so these answers get another journal; parsers and writer are the same. The
daemon's position and counts are not changed. Once `store` has returned, a piece is synced in the journal and committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from collector.clock import Clock
from collector.journal import Journal, Kind
from collector.model import InstrumentSpec, Records
from collector.normalise.entries import Answer, Closing, encode_header
from collector.normalise.normaliser import Normaliser, SessionParser
from collector.store.batch import Batch, TableCount
from collector.store.writer import Writer
from collector.venues.adapter import Adapter
from collector.venues.events import Event
from collector.venues.header import SessionHeader
from collector.venues.rest import RestAnswer, RestCall
from collector.venues.roles import Parser

# Items of fetched history that are committed together.
BATCH_ITEMS_MAX = 5000


class Recording:
    """One session that reads history; meets `collector.feed.intake.LiveSession`."""

    def __init__(
        self,
        header: SessionHeader,
        journal: Journal,
        writer: Writer,
        clock: Clock,
        find_adapter: Callable[[str], Adapter[Any]],
    ) -> None:
        self._journal = journal
        self._writer = writer
        self._clock = clock
        self._normaliser = Normaliser(find_adapter)
        self._out = Records()
        self._storing = asyncio.Lock()
        now_ns = clock.now_ns()
        self._session: SessionParser = self._normaliser.prepare(now_ns // 1000, header, now_ns)
        journal.append(now_ns // 1000, Kind.OPEN, now_ns, encode_header(header))
        self._normaliser.begin(self._session, self._out)
        self.counts: dict[str, TableCount] = {}
        """What became of the items by table."""
        self.answers = 0

    @property
    def parser(self) -> Parser:
        return self._session.parser

    @property
    def full(self) -> bool:
        """Whether enough is in memory to be stored."""
        return self._out.items >= BATCH_ITEMS_MAX or self._journal.full

    @property
    def stored(self) -> int:
        """Rows that were new, or changed."""
        return sum(count.stored for count in self.counts.values())

    def know(self, specs: Sequence[InstrumentSpec]) -> None:
        """Store these instruments, whether anything of them is fetched or not.

        A list of symbols has fewer facts of each than the daemon may know. So the facts get no date, which means that
        they are stored only where nothing is known yet.
        """
        self._out.instruments.extend(spec._replace(received_us=0) for spec in specs)

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        raise AssertionError("history has no sockets")

    def beat(self, received_ns: int) -> None:
        raise AssertionError("history has no line that could live")

    def rest(self, call: RestCall, answer: RestAnswer) -> Sequence[Event]:
        request = {"channel": call.channel, "params": call.told, "status": answer.status}
        payload = Answer(request, answer.body).encode()
        self._journal.append(self._session.session_id, Kind.REST, answer.received_ns, payload)
        self.answers += 1
        return self._session.rest(request, answer.body, answer.received_ns, self._out)

    def behind(self, read_to_ns: int | None) -> None:
        raise AssertionError("history has no line that could be read too slowly")

    def close(self, reason: str, cause: str | None = None) -> None:
        now_ns = self._clock.now_ns()
        self._journal.append(self._session.session_id, Kind.CLOSE, now_ns, Closing(reason, cause).encode())
        self._normaliser.close(self._session.session_id, reason, now_ns, self._out, cause)

    async def store(self) -> None:
        """Return when everything handed over by now is in the journal and in the tables, however long that takes."""
        async with self._storing:
            records, self._out = self._out, Records()
            if not records:
                return
            end = self._journal.end
            await self._journal.sync(end)
            committed = await self._writer.commit(Batch(records, end, self._clock.now_ns()))
            for table, count in committed.counts.items():
                self.counts[table] = self.counts.get(table, TableCount()) + count
