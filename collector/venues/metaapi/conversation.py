"""The client's side of a socket: Engine.IO's pings, requests and their answers, and the accounts that share the line.

`MetaapiConversation` is fed with the parser's events and the time, and returns what to send; one `Terminal` per account
decides what to ask for. In Engine.IO 3 the client pings, not the server. Answers come in any order and are matched by
their request's id alone.
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
from collector.venues.metaapi.control import (
    DEFAULT_PING_INTERVAL_SECONDS,
    DEFAULT_PING_TIMEOUT_SECONDS,
    LIMIT_ERROR,
    TOKEN_ERRORS,
)
from collector.venues.metaapi.entries import PendingSubscription, Request
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
from collector.venues.metaapi.terminal import REFUSED_RETRY_SECONDS, Terminal
from collector.venues.plan import ConnectionPlan
from collector.venues.roles import Parser

# A connection on which the server has not greeted (packet `40`) by then is made anew. The greeting normally comes with
# the opening; a dedicated server that is starting can take minutes, and is reached by one of the later connections.
GREETING_TIMEOUT_SECONDS = 15.0

# A request without an answer for this long counts as failed and is made again; the venue's own client waits as long.
REQUEST_TIMEOUT_SECONDS = 60.0

# How many `subscribeToMarketData` requests may wait for an answer at a time; the others wait here. With more, pings and
# other requests would wait behind them on the line; with fewer, subscribing to hundreds of symbols takes longer.
OPEN_DATA_REQUESTS_MAX = 8

# How many unanswered requests are remembered; beyond it the oldest is forgotten, and its answer then ignored. It bounds
# memory where a server answers nothing: requests time out after a minute, so it is not reached otherwise.
UNANSWERED_REQUESTS_MAX = 5000

# Added to the server's ping timeout before a missing pong ends the connection: `tick` comes only about once a second.
PONG_GRACE_SECONDS = 1.0


class MetaapiConversation:
    """Meets `collector.venues.roles.Conversation`. Times are monotonic seconds."""

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
        self._ping_interval_seconds = DEFAULT_PING_INTERVAL_SECONDS
        self._ping_timeout_seconds = DEFAULT_PING_TIMEOUT_SECONDS
        self._ping_at = float("inf")
        self._pong_by = float("inf")
        self._now = 0.0
        self._terminals: dict[str, Terminal] = {}
        # Targets number the symbols of all accounts of the session in one row, as `requests.targets` lists them.
        first_target = 0
        for account_id, description in plan.header.own["accounts"].items():
            self._terminals[account_id] = Terminal(
                account_id, description, plan.header, first_target, random, self._ask
            )
            first_target += len(description["symbols"])
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
                self._handle_venue_event(event, now)
            elif isinstance(event, Refused):
                self._refused(event, now)
            elif isinstance(event, SequenceLost):
                losses = self._by_name[event.channel].packets_lost(now)
                if losses > LOSSES_ALLOWED:
                    self._actions.append(Reconnect(f"{event.channel}: {losses} losses in five minutes"))
        return self._take_actions(now)

    def tick(self, now: float) -> Sequence[Action]:
        self._now = now
        if not self._greeted:
            if now - self._opened > GREETING_TIMEOUT_SECONDS:
                return [Reconnect(f"the server did not greet within {GREETING_TIMEOUT_SECONDS:.0f} s")]
            return ()
        if now > self._pong_by:
            return [Reconnect(f"no answer to a ping within {self._ping_timeout_seconds:.1f} s")]
        if now >= self._ping_at:
            self._ping(now)
        for identity, sent_request in list(self._requests.items()):
            if now - sent_request.sent < REQUEST_TIMEOUT_SECONDS:
                break  # they are in the order of sending: all that follow are younger
            del self._requests[identity]
            if sent_request.type == "subscribe":
                continue  # the terminal sends it again by itself until it is attached
            reason = f"no answer within {REQUEST_TIMEOUT_SECONDS:.0f} s"
            self._failed(sent_request, now, reason, permanent=False, seconds=None)
        for terminal in self._terminals.values():
            terminal.tick(self._parser.last_seen, now)
        return self._take_actions(now)

    @property
    def proved(self) -> bool:
        """Whether all accounts are settled, those left out whose terminal has been away for long."""
        settled = [terminal for terminal in self._terminals.values() if terminal.settled]
        return bool(settled) and all(
            terminal.settled or terminal.is_away(self._now) for terminal in self._terminals.values()
        )

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [
            status
            for terminal in self._terminals.values()
            for status in (
                terminal.status,
                *(entry_status for entry in terminal.entries.all() for entry_status in entry.statuses),
            )
        ]

    # -- events ------------------------------------------------------------------------------------------------------

    def _handle_venue_event(self, event: VenueEvent, now: float) -> None:
        match event:
            case AccountEvent(account):
                self._handle_account_event(self._by_name[account], event, now)
            case LineOpened(interval, timeout):
                self._ping_interval_seconds, self._ping_timeout_seconds = interval, timeout
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
            case LimitReached():  # the parser sends it just before the refusal that it explains
                self._limits[event.request_id or ""] = event

    @staticmethod
    def _handle_account_event(terminal: Terminal, event: AccountEvent, now: float) -> None:
        match event:
            case TerminalAttached():
                terminal.attach(event, now)
            case BrokerStatus(connected=connected):
                terminal.status_received(connected=connected, now=now)
            case TerminalDetached():
                terminal.detach(now)
            case SynchronisationStarted():
                terminal.synchronisation_started(now)
            case SynchronisationAdvanced():
                terminal.synchronisation_advanced(now)
            case SynchronisationFinished():
                terminal.synchronisation_finished(now)
            case Downgraded():
                terminal.downgraded(event, now)

    def _answered(self, identity: str, now: float) -> None:
        answered = self._requests.pop(identity, None)
        if answered is not None and answered.pending is not None:
            self._terminals[answered.account_id].acknowledged(answered.pending, now)

    def _refused(self, event: Refused, now: float) -> None:
        identity = event.request_id if isinstance(event.request_id, str) else ""
        limit = self._limits.pop(identity, None) if event.code == LIMIT_ERROR else None
        refused = self._requests.pop(identity, None)
        if refused is None:
            return
        reason = f"{event.code}: {event.message}"
        seconds = None if limit is None else limit.wait_seconds
        if limit is not None and limit.new_client_id and refused.type == "subscribe":
            # Each connection has a new client id, by which the venue's balancer chooses the server.
            self._actions.append(Reconnect(f"this server is full ({limit.limit}); trying another one"))
            return
        if event.code in TOKEN_ERRORS:
            seconds = REFUSED_RETRY_SECONDS  # only a person can put it right
            reason = f"the token was refused ({event.code}); correct token in [venues.{self._plan.header.venue}]"
        self._failed(refused, now, reason, permanent=event.permanent, seconds=seconds)

    def _failed(self, failed: Request, now: float, reason: str, *, permanent: bool, seconds: float | None) -> None:
        """Let the account's terminal try again. `seconds`: how long the venue asks to wait, None where it does not."""
        terminal = self._terminals[failed.account_id]
        match failed.type:
            case "subscribe":
                terminal.subscribe_refused(now, reason, REFUSED_RETRY_SECONDS if permanent else seconds)
            case "synchronize":
                terminal.synchronise_refused(now, reason, seconds)
            case "refreshMarketDataSubscriptions":
                terminal.refresh_refused(now, seconds)
            case _ if failed.pending is not None:
                wait = backoff(failed.pending.attempt + 1, self._random) if seconds is None else seconds
                terminal.market_data_refused(failed.pending, now, reason, permanent=permanent, due=now + wait)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _ping(self, now: float) -> None:
        self._actions.append(Send(PING))
        self._ping_at = now + self._ping_interval_seconds
        self._pong_by = min(self._pong_by, now + self._ping_timeout_seconds + PONG_GRACE_SECONDS)

    def _ask(
        self,
        kind: str,
        account_id: str,
        now: float,
        *,
        pending: PendingSubscription | None = None,
        target: int | None = None,
        **members: Any,
    ) -> None:
        identity = request_id(self._random, target)
        self._requests[identity] = Request(kind, account_id, now, pending)
        if len(self._requests) > UNANSWERED_REQUESTS_MAX:
            del self._requests[next(iter(self._requests))]
        self._actions.append(Send(request(kind, account_id, identity, self._instance, **members)))

    def _take_actions(self, now: float) -> Sequence[Action]:
        """Send pending subscriptions as far as there is room for them, and return all actions since the last call."""
        room = OPEN_DATA_REQUESTS_MAX - sum(request.pending is not None for request in self._requests.values())
        for terminal in self._terminals.values():
            if room <= 0:
                break
            if not terminal.pending:
                continue
            remaining: list[PendingSubscription] = []
            for pending in terminal.pending:
                if room > 0 and pending.due <= now:
                    room -= 1
                    terminal.send_pending(pending, self._parser.last_seen, now)
                else:
                    remaining.append(pending)
            terminal.pending = remaining
        actions, self._actions = self._actions, []
        return actions
