"""The client's side of a socket: Engine.IO's pings, requests and their answers, and the accounts that share the line.

The client pings here, not the server. Answers are matched by their request's id alone, since they come in any order;
only so many requests for market data are open at a time that a ping never waits long behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from collector.venues.events import (
    Action,
    Event,
    Reconnect,
    Refused,
    Send,
    SequenceLost,
    SubscriptionStatus,
    VenueEvent,
)
from collector.venues.kit.losses import LOSSES_ALLOWED, backoff
from collector.venues.metaapi.control import LIMIT_ERROR, TOKEN_ERRORS
from collector.venues.metaapi.entries import Request, Wish
from collector.venues.metaapi.happenings import (
    AccountEvent,
    BrokerStatus,
    Downgraded,
    LimitReached,
    LineClosed,
    LineConnected,
    LineOpened,
    PingAnswered,
    RequestAnswered,
    SynchronisationAdvanced,
    SynchronisationFinished,
    SynchronisationStarted,
    TerminalAttached,
    TerminalDetached,
)
from collector.venues.metaapi.requests import PING, request, request_id
from collector.venues.metaapi.terminal import REFUSED_SECONDS, Terminal
from collector.venues.plan import ConnectionPlan
from collector.venues.roles import Parser

GREETING_SECONDS = 15.0
ANSWER_SECONDS = 60.0
OPEN_REQUESTS = 8
REQUESTS_REMEMBERED = 5000
# How late a tick may be, by which a pong is missed.
TICK_SECONDS = 1.0


class MetaapiConversation:
    """Meets `collector.venues.adapter.Conversation`."""

    def __init__(self, plan: ConnectionPlan, parser: Parser, random: Random) -> None:
        self._plan = plan
        self._parser = parser
        self._random = random
        self._instance: int = plan.header.own["instance"]
        self._actions: list[Action] = []
        self._requests: dict[str, Request] = {}
        self._limits: dict[str, LimitReached] = {}
        self._opened = 0.0
        self._greeted = False
        self._ping_interval = 25.0
        self._ping_timeout = 5.0
        self._ping_at = float("inf")
        self._pong_by = float("inf")
        self._now = 0.0
        self._terminals: dict[str, Terminal] = {}
        first = 0
        for account_id, described in plan.header.own["accounts"].items():
            self._terminals[account_id] = Terminal(account_id, described, plan.header, first, random, self._ask)
            first += len(described["symbols"])
        self._by_name = {terminal.name: terminal for terminal in self._terminals.values()}

    def __repr__(self) -> str:
        return f"<MetaapiConversation {self._plan.name} {' '.join(map(repr, self._terminals.values()))}>"

    def opened(self, now: float) -> Sequence[Action]:
        """Wait for the server's greeting."""
        self._opened = self._now = now
        return ()

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
        self._now = now
        for event in events:
            if isinstance(event, VenueEvent):
                self._heard(event, now)
            elif isinstance(event, Refused):
                self._refused(event, now)
            elif isinstance(event, SequenceLost):
                losses = self._by_name[event.channel].lost(now)
                if losses > LOSSES_ALLOWED:
                    self._actions.append(Reconnect(f"{event.channel}: {losses} losses in five minutes"))
        return self._take(now)

    def tick(self, now: float) -> Sequence[Action]:
        self._now = now
        if not self._greeted:
            if now - self._opened > GREETING_SECONDS:
                return [Reconnect(f"the server did not greet within {GREETING_SECONDS:.0f} s")]
            return ()
        if now > self._pong_by:
            return [Reconnect(f"no answer to a ping within {self._ping_timeout:.1f} s")]
        if now >= self._ping_at:
            self._ping(now)
        for identity, one in list(self._requests.items()):
            if now - one.sent < ANSWER_SECONDS:
                break  # the oldest come first
            del self._requests[identity]
            if one.type == "subscribe":
                continue  # asked again anyway until the terminal is there
            self._failed(one, now, f"no answer within {ANSWER_SECONDS:.0f} s", permanent=False, seconds=None)
        for terminal in self._terminals.values():
            terminal.tick(self._parser.last_seen, now)
        return self._take(now)

    @property
    def proved(self) -> bool:
        """Whether all accounts are settled; one whose terminal is away for long does not hold up the others."""
        settled = [terminal for terminal in self._terminals.values() if terminal.settled]
        return bool(settled) and all(
            terminal.settled or terminal.away(self._now) for terminal in self._terminals.values()
        )

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [
            status
            for terminal in self._terminals.values()
            for status in (terminal.status, *(one for entry in terminal.entries.all() for one in entry.statuses))
        ]

    # -- what the venue said -----------------------------------------------------------------------------------------

    def _heard(self, event: VenueEvent, now: float) -> None:
        match event:
            case AccountEvent(account):
                self._happened(self._by_name[account], event, now)
            case LineOpened(interval, timeout):
                self._ping_interval, self._ping_timeout = interval, timeout
            case LineConnected() if not self._greeted:
                self._greeted = True
                self._ping(now)
                for terminal in self._terminals.values():
                    terminal.begin(now)
            case LineClosed(reason):
                self._actions.append(Reconnect(reason))
            case PingAnswered():
                self._pong_by = float("inf")
            case RequestAnswered(identity):
                self._answered(identity, now)
            case LimitReached():
                self._limits[event.request_id or ""] = event

    @staticmethod
    def _happened(terminal: Terminal, event: AccountEvent, now: float) -> None:
        match event:
            case TerminalAttached():
                terminal.authenticated(event, now)
            case BrokerStatus(connected=connected):
                terminal.status_told(connected=connected, now=now)
            case TerminalDetached():
                terminal.disconnected(now)
            case SynchronisationStarted():
                terminal.started(now)
            case SynchronisationAdvanced():
                terminal.progress(now)
            case SynchronisationFinished():
                terminal.finished(now)
            case Downgraded():
                terminal.downgraded(event, now)

    def _answered(self, identity: str, now: float) -> None:
        one = self._requests.pop(identity, None)
        if one is not None and one.wish is not None:
            self._terminals[one.account_id].acknowledged(one.wish, now)

    def _refused(self, event: Refused, now: float) -> None:
        identity = event.request_id if isinstance(event.request_id, str) else ""
        limit = self._limits.pop(identity, None) if event.code == LIMIT_ERROR else None
        one = self._requests.pop(identity, None)
        if one is None:
            return
        reason = f"{event.code}: {event.message}"
        seconds = None if limit is None else limit.wait_seconds
        if limit is not None and limit.new_client_id and one.type == "subscribe":
            self._actions.append(Reconnect(f"this server is full ({limit.limit}); another may not be"))
            return
        if event.code in TOKEN_ERRORS:
            seconds = REFUSED_SECONDS  # a person has to put it right
            reason = f"the token was refused ({event.code}); set token in [venues.{self._plan.header.venue}] right"
        self._failed(one, now, reason, permanent=event.permanent, seconds=seconds)

    def _failed(self, one: Request, now: float, reason: str, *, permanent: bool, seconds: float | None) -> None:
        terminal = self._terminals[one.account_id]
        match one.type:
            case "subscribe":
                terminal.subscribe_refused(now, reason, REFUSED_SECONDS if permanent else seconds)
            case "synchronize":
                terminal.synchronise_refused(now, reason, seconds)
            case "refreshMarketDataSubscriptions":
                terminal.refresh_refused(now, seconds)
            case _ if one.wish is not None:
                wait = backoff(one.wish.attempt + 1, self._random) if seconds is None else seconds
                terminal.market_refused(one.wish, now, reason, permanent=permanent, due=now + wait)

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ping(self, now: float) -> None:
        self._actions.append(Send(PING))
        self._ping_at = now + self._ping_interval
        self._pong_by = min(self._pong_by, now + self._ping_timeout + TICK_SECONDS)

    def _ask(
        self,
        kind: str,
        account_id: str,
        now: float,
        *,
        wish: Wish | None = None,
        target: int | None = None,
        **more: Any,
    ) -> None:
        identity = request_id(self._random, target)
        self._requests[identity] = Request(kind, account_id, now, wish)
        if len(self._requests) > REQUESTS_REMEMBERED:
            del self._requests[next(iter(self._requests))]
        self._actions.append(Send(request(kind, account_id, identity, self._instance, **more)))

    def _take(self, now: float) -> Sequence[Action]:
        room = OPEN_REQUESTS - sum(one.wish is not None for one in self._requests.values())
        for terminal in self._terminals.values():
            if room <= 0:
                break
            if not terminal.wishes:
                continue
            later: list[Wish] = []
            for wish in terminal.wishes:
                if room > 0 and wish.due <= now:
                    room -= 1
                    terminal.ask_for(wish, self._parser.last_seen, now)
                else:
                    later.append(wish)
            terminal.wishes = later
        actions, self._actions = self._actions, []
        return actions
