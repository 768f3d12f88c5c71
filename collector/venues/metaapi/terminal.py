"""One account's side of a conversation: from asking for its terminal to data that flows.

Four things are told apart and shown: whether the account is deployed (discovery says), whether its terminal is
attached and has its broker, whether it is synchronised, and whether data come. Nothing here deploys anything: that
costs money.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from random import Random
from typing import Any

import structlog

from collector.backoff import Backoff
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.header import SessionHeader
from collector.venues.kit.losses import Losses
from collector.venues.metaapi.entries import REMOVED, Entries, Entry, Wish
from collector.venues.metaapi.happenings import Downgraded, TerminalAttached
from collector.venues.metaapi.requests import random_session

log = structlog.get_logger()

FIRST_SUBSCRIBE_SECONDS = 3.0
LONGEST_SUBSCRIBE_SECONDS = 300.0
SUBSCRIBE_SPREAD = (1.0, 1.2)
SYNCHRONISATION_SECONDS = 120.0
# How often a synchronisation without progress is asked for again before the account is subscribed anew.
SYNCHRONISATIONS = 3
# A terminal that is not there for so long does not keep the others of its socket from counting as live.
AWAY_SECONDS = 60.0
# With no data at all for so long, although everything else is well, the subscriptions are renewed.
QUIET_SECONDS = 300.0
LOSSES_BEFORE_SUBSCRIBING = 3
REFUSED_SECONDS = 300.0

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState

Ask = Callable[..., None]


class Phase(StrEnum):
    SUBSCRIBING = "waiting for the terminal"
    SYNCHRONISING = "synchronising"
    SYNCHRONISED = "synchronised"


class Terminal:
    """Holds one account's subscriptions. `ask(type, account_id, now, ..)` sends a request."""

    def __init__(
        self,
        account_id: str,
        described: Mapping[str, Any],
        header: SessionHeader,
        first_target: int,
        random: Random,
        ask: Ask,
    ) -> None:
        self.account_id = account_id
        self.name: str = described["name"]
        self.entries = Entries.of(described, first_target, header.own["intervals"])
        self.phase = Phase.SUBSCRIBING
        self.broker: bool | None = None
        self.attached = False
        self.wishes: list[Wish] = []
        self._venue: str = header.venue
        self._status_seconds: float = header.own["status_seconds"]
        self._refresh_seconds: float = header.own["refresh_seconds"]
        self._random = random
        self._ask = ask
        self._session = ""
        self._host = "0"
        self._now_iso = ""
        self._backoff = Backoff(
            random, first=FIRST_SUBSCRIBE_SECONDS, longest=LONGEST_SUBSCRIBE_SECONDS, spread=SUBSCRIBE_SPREAD
        )
        self._subscribe_at = 0.0
        self._subscribing_since = 0.0
        self._heard = 0.0
        self._progress = 0.0
        self._synchronisations = 0
        self._refresh_at = float("inf")
        self._data_at = 0.0
        self._newest_ns = 0
        self._losses = Losses()
        self._told: set[tuple[str, str]] = set()
        self._refusal = ""
        channel = f"{self.name}/account"
        self.status = SubscriptionStatus(channel, "account", self.name, _WAITING, 0.0)

    def __repr__(self) -> str:
        return f"<Terminal {self.name} {self.phase} broker={self.broker}>"

    # -- what happens ------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """The line stands: ask for the terminal."""
        self._session = random_session(self._random)
        self._subscribe(now, now)

    def authenticated(self, event: TerminalAttached, now: float) -> None:
        """The terminal is attached; ask it to synchronise."""
        if event.session_id not in (None, self._session):
            return
        self.attached = True
        self._refusal = ""
        self._heard = now
        self._backoff.reset()
        self._host = event.host
        self._now_iso = event.at_iso
        self._synchronisations = 0
        self._synchronise(now)

    def status_told(self, *, connected: bool, now: float) -> None:
        """The terminal's heartbeat, which also says whether it has its broker."""
        self._heard = now
        if connected is not self.broker:
            self.broker = connected
            for entry in self.entries.all():
                if not connected and entry.state is _FLOWING:
                    entry.turn(_ACKNOWLEDGED, now, "the terminal has lost its broker")

    def disconnected(self, now: float) -> None:
        """The terminal was detached; it is asked for again shortly."""
        self._lose_terminal(now, now + self._random.uniform(1.0, 5.0), "the terminal was detached")

    def started(self, now: float) -> None:
        """A synchronisation begins: the server wants the whole list of subscriptions now."""
        self.phase = Phase.SYNCHRONISING
        self._progress = now
        self._refresh(now)

    def progress(self, now: float) -> None:
        self._progress = now

    def finished(self, now: float) -> None:
        """Synchronised: each symbol is asked for by itself, so that each is acknowledged or refused by itself."""
        self.phase = Phase.SYNCHRONISED
        self._data_at = now
        self.wishes = [
            Wish(now, symbol, tuple(kind for kind, entry in of_symbol.items() if entry.wanted))
            for symbol, of_symbol in self.entries.by_symbol.items()
        ]
        self.entries.turn_all(_WAITING, now, "its turn comes")

    def lost(self, now: float) -> int:
        """Packets were lost; when that repeats, begin anew. Returns how often it happened lately."""
        losses = self._losses.note(self.name, "", now)
        if losses >= LOSSES_BEFORE_SUBSCRIBING and self.phase is Phase.SYNCHRONISED:
            self._lose_terminal(now, now, f"{losses} losses in five minutes")
        return losses

    def downgraded(self, event: Downgraded, now: float) -> None:
        """Keep what the venue has reduced reduced: asking for more would only bring the next downgrade."""
        of_symbol = self.entries.by_symbol.get(event.symbol, {})
        for kind, interval in event.interval_ms.items():
            entry = of_symbol.get(kind)
            if entry is not None and entry.wanted:
                entry.reduced = interval
                entry.turn(entry.state, now, entry.note)
                self._tell(entry, entry.note)
        for kind in event.removed:
            # Candles without a period are all candles.
            for entry in [one for one in of_symbol.values() if one.kind == kind or one.kind.startswith(f"{kind}/")]:
                entry.turn(_REFUSED, now, REMOVED)
                self._tell(entry, REMOVED)
        self._refresh_at = min(self._refresh_at, now)

    # -- answers -----------------------------------------------------------------------------------------------------

    def acknowledged(self, wish: Wish, now: float) -> None:
        for entry in self._of(wish):
            if entry.state is _REQUESTED:
                entry.turn(_ACKNOWLEDGED, now, entry.note)

    def subscribe_refused(self, now: float, reason: str, seconds: float | None) -> None:
        """Ask for the terminal again, later."""
        self._refusal = reason
        pause = self._backoff.next() if seconds is None else seconds * self._random.uniform(*SUBSCRIBE_SPREAD)
        self._subscribe_at = now + pause

    def synchronise_refused(self, now: float, reason: str, seconds: float | None) -> None:
        """Try it again after a while: counted as no progress."""
        self._refusal = reason
        self._progress = now - SYNCHRONISATION_SECONDS + (5.0 if seconds is None else seconds)

    def refresh_refused(self, now: float, seconds: float | None) -> None:
        self._refresh_at = now + (30.0 if seconds is None else seconds) * self._random.uniform(1.0, 1.2)

    def market_refused(self, wish: Wish, now: float, reason: str, *, permanent: bool, due: float) -> None:
        """One bad kind refuses a whole request: ask for each kind alone before any is given up."""
        if not permanent:
            self._wish_again(wish, now, reason, due)
        elif len(wish.kinds) > 1:
            for kind in wish.kinds:
                self._wish_again(Wish(now, wish.symbol, (kind,)), now, reason, now)
        else:
            for entry in self._of(wish):
                entry.turn(_REFUSED, now, reason)

    def _wish_again(self, wish: Wish, now: float, reason: str, due: float) -> None:
        for entry in self._of(wish):
            if entry.state is _REQUESTED:
                entry.turn(_WAITING, now, reason)
        self.wishes.append(Wish(due, wish.symbol, wish.kinds, wish.attempt + 1))

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        if self.phase is Phase.SUBSCRIBING:
            if now >= self._subscribe_at:
                self._send_subscribe(now)
        elif now - self._heard > self._status_seconds:
            self._lose_terminal(now, now, f"no word of the terminal for {self._status_seconds:.0f} s")
        elif self.phase is Phase.SYNCHRONISING and now - self._progress > SYNCHRONISATION_SECONDS:
            if self._synchronisations >= SYNCHRONISATIONS:
                self._lose_terminal(now, now, "the synchronisation makes no progress")
            else:
                self._synchronise(now)
        if self.phase is not Phase.SUBSCRIBING and now >= self._refresh_at:
            self._refresh(now)
        self._look(last_seen, now)

    def _look(self, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        newest = 0
        for entry in self.entries.all():
            entry.look(last_seen, now)
            for status in entry.statuses:
                newest = max(newest, last_seen.get(status.channel, {}).get(status.symbol, 0))
        if newest > self._newest_ns:
            self._newest_ns, self._data_at = newest, now
        elif self.phase is Phase.SYNCHRONISED and now - self._data_at > QUIET_SECONDS:
            self._data_at = now  # the market may be closed, or the server may have forgotten us
            self._refresh(now)
        self._show(now)

    def _show(self, now: float) -> None:
        state = _WAITING if self.phase is Phase.SUBSCRIBING else _REQUESTED
        if self.phase is Phase.SYNCHRONISED:
            flows = now - self._data_at < QUIET_SECONDS and self._newest_ns > 0
            state = _FLOWING if flows and self.broker is not False else _ACKNOWLEDGED
        broker = {True: "broker connected", False: "broker not connected", None: "broker not heard of"}[self.broker]
        quotes = "quotes streaming" if state is _FLOWING else "no quotes"
        terminal = "terminal attached" if self.attached else "terminal not attached"
        refusal = [self._refusal] if self._refusal else []
        self.status.reason = ", ".join(["deployed", terminal, broker, str(self.phase), quotes, *refusal])
        if self.status.state is not state:
            self.status.state, self.status.since = state, now

    @property
    def settled(self) -> bool:
        """Whether all of its subscriptions are acknowledged or refused for good."""
        return self.phase is Phase.SYNCHRONISED and all(
            entry.state in (_ACKNOWLEDGED, _FLOWING, _REFUSED) for entry in self.entries.all()
        )

    def away(self, now: float) -> bool:
        """Whether the terminal has not been there for long."""
        return self.phase is Phase.SUBSCRIBING and now - self._subscribing_since >= AWAY_SECONDS

    # -- asking ------------------------------------------------------------------------------------------------------

    def _subscribe(self, now: float, due: float) -> None:
        self.phase = Phase.SUBSCRIBING
        self.attached = False
        self._subscribing_since = now
        self._subscribe_at = due
        if now >= due:
            self._send_subscribe(now)

    def _send_subscribe(self, now: float) -> None:
        self._subscribe_at = now + self._backoff.next()
        self._ask("subscribe", self.account_id, now, sessionId=self._session)

    def _synchronise(self, now: float) -> None:
        self.phase = Phase.SYNCHRONISING
        self._progress = now
        self._synchronisations += 1
        # From now on: the past of the account is not wanted, and no hashes mean that everything is sent.
        self._ask(
            "synchronize",
            self.account_id,
            now,
            version=2,
            host=self._host,
            startingHistoryOrderTime=self._now_iso,
            startingDealTime=self._now_iso,
            specificationsHashes=[],
            positionsHashes=[],
            ordersHashes=[],
        )

    def _refresh(self, now: float) -> None:
        self._refresh_at = now + max(1.0, self._random.random() * self._refresh_seconds)
        self._ask("refreshMarketDataSubscriptions", self.account_id, now, subscriptions=self.entries.full_list())

    def ask_for(self, wish: Wish, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        """Ask for a symbol's data."""
        entries = [entry for entry in self._of(wish) if entry.wanted]
        if not entries:
            return
        wish.kinds = tuple(entry.kind for entry in entries)
        whole = len(entries) == len(self.entries.by_symbol[wish.symbol])
        for entry in entries:
            entry.turn(_REQUESTED, now, entry.statuses[0].reason)
            entry.since_ns = max(last_seen.get(status.channel, {}).get(status.symbol, 0) for status in entry.statuses)
        self._ask(
            "subscribeToMarketData",
            self.account_id,
            now,
            wish=wish,
            target=entries[0].target if whole else None,
            symbol=wish.symbol,
            subscriptions=[entry.as_subscription() for entry in entries],
        )

    def _of(self, wish: Wish) -> list[Entry]:
        of_symbol = self.entries.by_symbol[wish.symbol]
        return [of_symbol[kind] for kind in wish.kinds if kind in of_symbol]

    def _lose_terminal(self, now: float, due: float, reason: str) -> None:
        self.broker = None
        self.wishes = []
        self._refresh_at = float("inf")
        self.entries.turn_all(_WAITING, now, reason)
        self._subscribe(now, due)

    def _tell(self, entry: Entry, reason: str) -> None:
        if (entry.symbol, entry.kind) not in self._told:
            self._told.add((entry.symbol, entry.kind))
            log.warning(
                "subscription_downgraded",
                venue=self._venue,
                account=self.name,
                symbol=entry.symbol,
                kind=entry.kind,
                reason=reason,
            )
