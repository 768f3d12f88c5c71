"""An adapter that raises where a test says, for one line of its venue, with what is around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from collector.feed.failures import Place
from collector.venues.adapter import Adapter
from collector.venues.events import Action, Event, SubscriptionState, SubscriptionStatus
from collector.venues.header import SessionHeader
from collector.venues.plan import ConnectionPlan
from collector.venues.roles import Parser

from .fakes import FakeConversation, FakeIntake, FakeLine, FakeNetwork, FakeSession, FakeVenue, LivingLine

# The line whose adapter fails.
BAD = "fake-1"


class Bugs:
    """Where the adapter raises for the bad line, and how often it did."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.raised = 0

    def meet(self, place: Place, line: str) -> None:
        if (place, line) == (self.place, BAD):
            self.raised += 1
            raise KeyError(f"bug {self.raised}")


class Conversation(FakeConversation):
    def __init__(self, bugs: Bugs, line: str) -> None:
        self._bugs, self._line, self._proved = bugs, line, False
        super().__init__()

    @property
    def proved(self) -> bool:
        self._bugs.meet(Place.PROVED, self._line)
        return self._proved

    @proved.setter
    def proved(self, value: bool) -> None:
        self._proved = value

    def opened(self, now: float) -> Sequence[Action]:
        self._bugs.meet(Place.OPENED, self._line)
        return super().opened(now)

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
        self._bugs.meet(Place.HANDLE, self._line)
        return super().handle(events, now)

    def tick(self, now: float) -> Sequence[Action]:
        self._bugs.meet(Place.TICK, self._line)
        return super().tick(now)

    def statuses(self) -> Sequence[SubscriptionStatus]:
        self._bugs.meet(Place.STATUSES, self._line)
        return [SubscriptionStatus("trades", "trades", "A", SubscriptionState.FLOWING, 1.0)]


class BuggyVenue(FakeVenue):
    def __init__(self, *, bugs: Bugs, **more: Any) -> None:
        super().__init__(**more)
        self.bugs = bugs
        self.opening = ""

    def address(self, plan: ConnectionPlan, random: Random) -> tuple[str, Mapping[str, str]]:
        self.opening = plan.name  # the next that asks for `strip` is this line
        self.bugs.meet(Place.ADDRESS, plan.name)
        return super().address(plan, random)

    @property
    def strip(self) -> None:
        self.bugs.meet(Place.STRIP, self.opening)

    def parser(self, header: SessionHeader) -> Parser:
        self.bugs.meet(Place.PARSER, header.worker)
        return super().parser(header)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> FakeConversation:
        self.bugs.meet(Place.CONVERSATION, plan.name)
        return Conversation(self.bugs, plan.name)


class ParsingIntake(FakeIntake):
    def __init__(self, venue: FakeVenue | Adapter[Any]) -> None:
        super().__init__()
        self._venue = venue

    def open(self, header: SessionHeader, *, strip: Any = None) -> FakeSession:
        parser = self._venue.parser(header)
        session = super().open(header)
        session.parser = parser
        return session

    def of(self, line: str) -> list[FakeSession]:
        return [session for session in self.sessions if session.header.worker == line]


class EndlessNetwork(FakeNetwork):
    """Every line can be made."""

    async def connect(self, url: str, **_: Any) -> FakeLine:
        self.connects += 1
        return LivingLine()
