"""The messages that we send on the socket."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from collector.venues.plan import Subscription

SYMBOLS_PER_REQUEST = 100


def subscribe(subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
    """Ask for symbols of a subscription, with all its parameters."""
    return _request("subscribe", subscription, symbols, request_id, dict(subscription.params))


def unsubscribe(subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
    """Give symbols of a subscription up."""
    params = {name: value for name, value in subscription.params.items() if name != "limit"}
    return _request("unsubscribe", subscription, symbols, request_id, params)


def _request(
    method: str, subscription: Subscription, symbols: Sequence[str], request_id: int, params: dict[str, object]
) -> bytes:
    names = "currencies" if subscription.channel.startswith("price/rate/") else "symbols"
    message = {
        "method": method,
        "ch": subscription.channel,
        "params": {names: list(symbols), **params},
        "id": request_id,
    }
    return orjson.dumps(message)
