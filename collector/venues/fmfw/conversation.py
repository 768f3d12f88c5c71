"""The client's side of a connection: requests in this venue's words, see `collector.venues.kit.requests`."""

from __future__ import annotations

from collections.abc import Sequence

from collector.venues.fmfw.channels import FULL_BOOK
from collector.venues.fmfw.requests import SYMBOLS_PER_REQUEST, subscribe, unsubscribe
from collector.venues.kit.requests import RequestedSubscriptions
from collector.venues.kit.subscriptions import Entry
from collector.venues.plan import Subscription


class FmfwConversation(RequestedSubscriptions):
    """Meets `collector.venues.roles.Conversation`."""

    symbols_per_request = SYMBOLS_PER_REQUEST

    def _subscribe(self, subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
        return subscribe(subscription, symbols, request_id)

    def _unsubscribe(self, subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
        return unsubscribe(subscription, symbols, request_id)

    def _needs_whole_book(self, entry: Entry) -> bool:
        return entry.subscription.channel == FULL_BOOK
