"""One account's side of a conversation: attaching its terminal, synchronising, subscribing to its symbols.

The account's status shows these apart: whether the account is deployed (known from discovery), whether its terminal is
attached and connected to its broker, whether it is synchronised, and whether data arrive. Nothing here deploys an
account, since that costs money.
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
from collector.venues.metaapi.entries import REMOVED, Entries, Entry, PendingSubscription
from collector.venues.metaapi.happenings import Downgraded, TerminalAttached
from collector.venues.metaapi.requests import random_session

log = structlog.get_logger()

# The pause before `subscribe` is sent again while the terminal is not attached: first this, then doubled up to the
# maximum. Both are those of the venue's own client.
SUBSCRIBE_RETRY_FIRST_SECONDS = 3.0
SUBSCRIBE_RETRY_MAX_SECONDS = 300.0

# Each pause before a retry is multiplied by a random number between these, so that accounts do not retry together. It
# is never shorter than what the venue asks for.
RETRY_SPREAD = (1.0, 1.2)

# A synchronisation without any packet for this long is asked for again; the venue's own client waits as long.
SYNCHRONISATION_STALLED_SECONDS = 120.0

# How often `synchronize` is sent without progress before the account is subscribed to anew.
SYNCHRONISE_ATTEMPTS_MAX = 3

# The pauses before a refused `synchronize` and a refused refresh are tried again, where the venue names none. A refresh
# is less urgent: subscriptions last for ten minutes without it.
SYNCHRONISE_RETRY_SECONDS = 5.0
REFRESH_RETRY_SECONDS = 30.0

# A refresh comes no sooner than this after the one before, whatever random part of `refresh_seconds` was drawn.
REFRESH_INTERVAL_MIN_SECONDS = 1.0

# The random pause before a detached terminal is subscribed to again; the venue's own client waits as long.
DETACHED_RETRY_SECONDS = (1.0, 5.0)

# An account whose terminal has been away for this long no longer keeps its connection from counting as proved. Sooner
# would call a connection proved while its terminals are still attaching.
TERMINAL_AWAY_SECONDS = 60.0

# With no data at all for this long, although the account is synchronised, the subscriptions are renewed: the market may
# be closed, or the server may have lost them. After the same time the account no longer counts as flowing.
NO_DATA_REFRESH_SECONDS = 300.0

# With this many losses of packets within the window of `Losses` the account is subscribed to anew. More would leave a
# faulty stream running, fewer would cut a stream for a single lost packet.
LOSSES_BEFORE_RESUBSCRIBING = 3

# The pause after a refusal that only a person can resolve, such as a wrong token or an unknown account.
REFUSED_RETRY_SECONDS = 300.0

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState

Ask = Callable[..., None]


class Phase(StrEnum):
    """How far an account has come; the values are shown in its status."""

    SUBSCRIBING = "waiting for the terminal"
    SYNCHRONISING = "synchronising"
    SYNCHRONISED = "synchronised"


class Terminal:
    """Keeps one account attached, synchronised and subscribed. Times are monotonic seconds.

    `description` is the account's part of the session's header (see `discovery.describe`); `first_target` is the number
    of its first symbol in the session. `ask(type, account_id, now, ..)` sends a request, see
    `MetaapiConversation._ask`.
    """

    def __init__(
        self,
        account_id: str,
        description: Mapping[str, Any],
        header: SessionHeader,
        first_target: int,
        random: Random,
        ask: Ask,
    ) -> None:
        self.account_id = account_id
        self.name: str = description["name"]
        self.entries = Entries.from_description(description, first_target, header.own["intervals"])
        self.phase = Phase.SUBSCRIBING
        self.broker: bool | None = None
        self.attached = False
        self.pending: list[PendingSubscription] = []
        self._venue: str = header.venue
        self._status_seconds: float = header.own["status_seconds"]
        self._refresh_seconds: float = header.own["refresh_seconds"]
        self._random = random
        self._ask = ask
        self._session = ""
        self._host = "0"
        self._now_iso = ""
        self._backoff = Backoff(
            random, first=SUBSCRIBE_RETRY_FIRST_SECONDS, longest=SUBSCRIBE_RETRY_MAX_SECONDS, spread=RETRY_SPREAD
        )
        self._subscribe_at = 0.0
        self._subscribing_since = 0.0
        self._status_at = 0.0
        """When the terminal's last status (or its attaching) came."""
        self._progress_at = 0.0
        """When the synchronisation last made progress."""
        self._synchronise_attempts = 0
        self._refresh_at = float("inf")
        self._data_at = 0.0
        self._newest_ns = 0
        self._losses = Losses()
        self._logged_downgrades: set[tuple[str, str]] = set()
        self._refusal = ""
        channel = f"{self.name}/account"
        self.status = SubscriptionStatus(channel, "account", self.name, _WAITING, 0.0)

    def __repr__(self) -> str:
        return f"<Terminal {self.name} {self.phase} broker={self.broker}>"

    # -- events ------------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """The connection is open: send `subscribe`, so that the terminal is attached."""
        self._session = random_session(self._random)
        self._subscribe(now, now)

    def attach(self, event: TerminalAttached, now: float) -> None:
        """The terminal is attached: ask it to synchronise."""
        if event.session_id not in (None, self._session):
            return  # it answers a `subscribe` of an earlier connection
        self.attached = True
        self._refusal = ""
        self._status_at = now
        self._backoff.reset()
        self._host = event.host
        self._now_iso = event.at_iso
        self._synchronise_attempts = 0
        self._synchronise(now)

    def status_received(self, *, connected: bool, now: float) -> None:
        """The terminal's heartbeat came. `connected`: whether the terminal is connected to its broker."""
        self._status_at = now
        if connected is not self.broker:
            self.broker = connected
            for entry in self.entries.all():
                if not connected and entry.state is _FLOWING:
                    entry.set_state(_ACKNOWLEDGED, now, "the terminal is not connected to its broker")

    def detach(self, now: float) -> None:
        """The terminal was detached: subscribe to it again after a short pause."""
        self._lose_terminal(now, now + self._random.uniform(*DETACHED_RETRY_SECONDS), "the terminal was detached")

    def synchronisation_started(self, now: float) -> None:
        """A synchronisation begins: the server expects the whole list of subscriptions now."""
        self.phase = Phase.SYNCHRONISING
        self._progress_at = now
        self._refresh(now)

    def synchronisation_advanced(self, now: float) -> None:
        """A part of the account has arrived."""
        self._progress_at = now

    def synchronisation_finished(self, now: float) -> None:
        """The account is synchronised: ask for each symbol by itself, so that each is acknowledged or refused."""
        self.phase = Phase.SYNCHRONISED
        self._data_at = now
        self.pending = [
            PendingSubscription(now, symbol, tuple(kind for kind, entry in by_kind.items() if entry.active))
            for symbol, by_kind in self.entries.by_symbol.items()
        ]
        self.entries.set_all_states(_WAITING, now, "waiting for its turn")

    def packets_lost(self, now: float) -> int:
        """Packets were lost: subscribe anew if that repeats. Returns the losses within the window of `Losses`."""
        losses = self._losses.note(self.name, "", now)
        if losses >= LOSSES_BEFORE_RESUBSCRIBING and self.phase is Phase.SYNCHRONISED:
            self._lose_terminal(now, now, f"{losses} losses in five minutes")
        return losses

    def downgraded(self, event: Downgraded, now: float) -> None:
        """Adopt the venue's reduced subscriptions: asking for the original ones would only cause the next downgrade."""
        by_kind = self.entries.by_symbol.get(event.symbol, {})
        for kind, interval in event.interval_ms.items():
            entry = by_kind.get(kind)
            if entry is not None and entry.active:
                entry.reduced = interval
                entry.set_state(entry.state, now, entry.note)
                self._log_downgrade(entry, entry.note)
        for kind in event.removed:
            for entry in by_kind.values():
                # The kind `candles` without a period means the candles of all periods.
                if entry.kind == kind or entry.kind.startswith(f"{kind}/"):
                    entry.set_state(_REFUSED, now, REMOVED)
                    self._log_downgrade(entry, REMOVED)
        self._refresh_at = min(self._refresh_at, now)

    # -- answers -----------------------------------------------------------------------------------------------------

    def acknowledged(self, pending: PendingSubscription, now: float) -> None:
        for entry in self._entries_of(pending):
            if entry.state is _REQUESTED:
                entry.set_state(_ACKNOWLEDGED, now, entry.note)

    def subscribe_refused(self, now: float, reason: str, seconds: float | None) -> None:
        """Send `subscribe` again later. `seconds`: the pause, None where the usual growing one applies."""
        self._refusal = reason
        pause = self._backoff.next() if seconds is None else seconds * self._random.uniform(*RETRY_SPREAD)
        self._subscribe_at = now + pause

    def synchronise_refused(self, now: float, reason: str, seconds: float | None) -> None:
        """Send `synchronize` again after a pause; it counts as an attempt without progress."""
        self._refusal = reason
        # Set back so far that `tick` finds the synchronisation stalled when the pause is over.
        pause = SYNCHRONISE_RETRY_SECONDS if seconds is None else seconds
        self._progress_at = now - SYNCHRONISATION_STALLED_SECONDS + pause

    def refresh_refused(self, now: float, seconds: float | None) -> None:
        """Send the list of subscriptions again after a pause."""
        pause = REFRESH_RETRY_SECONDS if seconds is None else seconds
        self._refresh_at = now + pause * self._random.uniform(*RETRY_SPREAD)

    def market_data_refused(
        self, pending: PendingSubscription, now: float, reason: str, *, permanent: bool, due: float
    ) -> None:
        """Try a symbol again at `due`; where the refusal is permanent, give up its kinds.

        One unsupported kind makes the venue refuse the whole request, so each kind is asked for alone before that.
        """
        if not permanent:
            self._retry_later(pending, now, reason, due)
        elif len(pending.kinds) > 1:
            for kind in pending.kinds:
                self._retry_later(PendingSubscription(now, pending.symbol, (kind,)), now, reason, now)
        else:
            for entry in self._entries_of(pending):
                entry.set_state(_REFUSED, now, reason)

    def _retry_later(self, pending: PendingSubscription, now: float, reason: str, due: float) -> None:
        for entry in self._entries_of(pending):
            if entry.state is _REQUESTED:
                entry.set_state(_WAITING, now, reason)
        self.pending.append(PendingSubscription(due, pending.symbol, pending.kinds, pending.attempt + 1))

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        if self.phase is Phase.SUBSCRIBING:
            if now >= self._subscribe_at:
                self._send_subscribe(now)
        elif now - self._status_at > self._status_seconds:
            self._lose_terminal(now, now, f"no status from the terminal for {self._status_seconds:.0f} s")
        elif self.phase is Phase.SYNCHRONISING and now - self._progress_at > SYNCHRONISATION_STALLED_SECONDS:
            if self._synchronise_attempts >= SYNCHRONISE_ATTEMPTS_MAX:
                self._lose_terminal(now, now, "the synchronisation makes no progress")
            else:
                self._synchronise(now)
        if self.phase is not Phase.SUBSCRIBING and now >= self._refresh_at:
            self._refresh(now)
        self._update_states(last_seen, now)

    def _update_states(self, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        newest = 0
        for entry in self.entries.all():
            entry.mark_flowing(last_seen, now)
            for status in entry.statuses:
                newest = max(newest, last_seen.get(status.channel, {}).get(status.symbol, 0))
        if newest > self._newest_ns:
            self._newest_ns, self._data_at = newest, now
        elif self.phase is Phase.SYNCHRONISED and now - self._data_at > NO_DATA_REFRESH_SECONDS:
            self._data_at = now  # so that the next refresh for this reason comes after the same time again
            self._refresh(now)
        self._update_account_status(now)

    def _update_account_status(self, now: float) -> None:
        state = _WAITING if self.phase is Phase.SUBSCRIBING else _REQUESTED
        if self.phase is Phase.SYNCHRONISED:
            flows = now - self._data_at < NO_DATA_REFRESH_SECONDS and self._newest_ns > 0
            state = _FLOWING if flows and self.broker is not False else _ACKNOWLEDGED
        broker = {True: "broker connected", False: "broker not connected", None: "broker status unknown"}[self.broker]
        quotes = "quotes streaming" if state is _FLOWING else "no quotes"
        terminal = "terminal attached" if self.attached else "terminal not attached"
        refusal = [self._refusal] if self._refusal else []
        self.status.reason = ", ".join(["deployed", terminal, broker, str(self.phase), quotes, *refusal])
        if self.status.state is not state:
            self.status.state, self.status.since = state, now

    @property
    def settled(self) -> bool:
        """Whether the account is synchronised and all of its subscriptions are acknowledged or refused for good."""
        return self.phase is Phase.SYNCHRONISED and all(
            entry.state in (_ACKNOWLEDGED, _FLOWING, _REFUSED) for entry in self.entries.all()
        )

    def is_away(self, now: float) -> bool:
        """Whether the terminal has been away for `TERMINAL_AWAY_SECONDS` or longer."""
        return self.phase is Phase.SUBSCRIBING and now - self._subscribing_since >= TERMINAL_AWAY_SECONDS

    # -- sending -----------------------------------------------------------------------------------------------------

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
        self._progress_at = now
        self._synchronise_attempts += 1
        # Both times are now, since the account's past orders and deals are not recorded; without hashes the server
        # sends all specifications.
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
        interval = max(REFRESH_INTERVAL_MIN_SECONDS, self._random.random() * self._refresh_seconds)
        self._refresh_at = now + interval
        self._ask("refreshMarketDataSubscriptions", self.account_id, now, subscriptions=self.entries.full_list())

    def send_pending(
        self, pending: PendingSubscription, last_seen: Mapping[str, Mapping[str, int]], now: float
    ) -> None:
        """Send the request of a pending subscription, without the kinds that were refused meanwhile."""
        entries = [entry for entry in self._entries_of(pending) if entry.active]
        if not entries:
            return
        pending.kinds = tuple(entry.kind for entry in entries)
        whole = len(entries) == len(self.entries.by_symbol[pending.symbol])
        for entry in entries:
            entry.set_state(_REQUESTED, now, entry.statuses[0].reason)
            entry.newest_before_ns = max(
                last_seen.get(status.channel, {}).get(status.symbol, 0) for status in entry.statuses
            )
        self._ask(
            "subscribeToMarketData",
            self.account_id,
            now,
            pending=pending,
            # The answer to a request with a target acknowledges all kinds of the symbol, see `parser`.
            target=entries[0].target if whole else None,
            symbol=pending.symbol,
            subscriptions=[entry.as_subscription() for entry in entries],
        )

    def _entries_of(self, pending: PendingSubscription) -> list[Entry]:
        by_kind = self.entries.by_symbol[pending.symbol]
        return [by_kind[kind] for kind in pending.kinds if kind in by_kind]

    def _lose_terminal(self, now: float, due: float, reason: str) -> None:
        self.broker = None
        self.pending = []
        self._refresh_at = float("inf")
        self.entries.set_all_states(_WAITING, now, reason)
        self._subscribe(now, due)

    def _log_downgrade(self, entry: Entry, reason: str) -> None:
        if (entry.symbol, entry.kind) not in self._logged_downgrades:
            self._logged_downgrades.add((entry.symbol, entry.kind))
            log.warning(
                "subscription_downgraded",
                venue=self._venue,
                account=self.name,
                symbol=entry.symbol,
                kind=entry.kind,
                reason=reason,
            )
