"""From what is wanted, streams and settings, to the venue's channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from collector.venues.fmfw.candles import VENUE_PERIODS
from collector.venues.fmfw.settings import FmfwSettings
from collector.venues.plan import Subscription

FULL_BOOK = "orderbook/full"

_PERIOD_CODES = {ours: theirs for theirs, ours in VENUE_PERIODS.items()}


def period_code(period: str) -> str:
    """Return the venue's name of one of our periods."""
    return _PERIOD_CODES[period]


def tick_channel(settings: FmfwSettings) -> str:
    """Return where ticks come from."""
    channel = f"orderbook/{settings.ticks}" if settings.ticks.startswith("top/") else settings.ticks
    return channel + _batch(settings)


def book_channel(settings: FmfwSettings) -> str:
    """Return where books come from; the full book has no batch form."""
    return FULL_BOOK if settings.books == "full" else f"orderbook/{settings.books}{_batch(settings)}"


def subscriptions(
    settings: FmfwSettings, symbols: Sequence[str], futures: Sequence[str], *, rates: bool
) -> tuple[Subscription, ...]:
    """Return what to ask for on one connection. `futures` are those symbols that are; `rates` whether rates go here."""
    return tuple(_subscriptions(settings, tuple(symbols), tuple(futures), rates=rates))


def _subscriptions(
    settings: FmfwSettings, symbols: tuple[str, ...], futures: tuple[str, ...], *, rates: bool
) -> Iterator[Subscription]:
    # A trades or candles channel stays silent in a quiet market, snapshot or not; the others show their state at once.
    past: dict[str, Any] = {"limit": settings.snapshot} if settings.snapshot else {}
    streams = settings.streams
    if "trades" in streams and symbols:
        yield Subscription("trades", "trades", symbols, past, prompt=False)
    if "books" in streams and symbols:
        yield Subscription(book_channel(settings), "books", symbols)
    if "ticks" in streams and symbols:
        yield Subscription(tick_channel(settings), "ticks", symbols)
    if "candles" in streams and symbols:
        for code in map(period_code, settings.candles):
            yield Subscription(f"candles/{code}", "candles", symbols, past, prompt=False)
            for target in settings.converted:
                params = {"target_currency": target} | past
                yield Subscription(f"converted/candles/{code}", "candles", symbols, params, prompt=False)
    if "derivatives" in streams and futures:
        yield Subscription("futures/info", "derivatives", futures)
    if rates and "rates" in streams:
        channel = f"price/rate/{settings.rates}{_batch(settings)}"
        params = {"target_currency": settings.rate_target}
        yield Subscription(channel, "rates", settings.rate_currencies, params)


def _batch(settings: FmfwSettings) -> str:
    return "/batch" if settings.batch else ""
