"""Prices of one currency in another, found over at most two spot markets."""

from collections.abc import Callable
from decimal import Decimal

from collector.simulator.fmfw.trading.candles import Bar
from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.market import Market

PriceOf = Callable[[Market], int | None]


def last_price(market: Market) -> int | None:
    """Give the price of the last trade."""
    return market.last_trade.price if market.last_trade is not None else None


class Rates:
    """Currency conversion by the venue's own markets."""

    def __init__(self, exchange: Exchange) -> None:
        self._pairs: dict[tuple[str, str], Market] = {}
        self.currencies: list[str] = []
        for market in exchange.markets.values():
            instrument = market.instrument
            if instrument.base is not None:
                self._pairs[instrument.base, instrument.quote] = market
            for currency in (instrument.base, instrument.quote, instrument.underlying):
                if currency is not None and currency not in self.currencies:
                    self.currencies.append(currency)

    def path(self, source: str, target: str) -> list[tuple[Market, bool]] | None:
        """Find the markets to go through, each with True where its price is divided by; None where there is no way."""
        if source == target:
            return []
        for middle in ("", *self.currencies):
            hops = [self._hop(source, middle), self._hop(middle, target)] if middle else [self._hop(source, target)]
            if None not in hops:
                return [hop for hop in hops if hop is not None]
        return None

    def rate(self, source: str, target: str, price_of: PriceOf = last_price) -> Decimal | None:
        """Give how much of `target` one `source` is worth, None where no trade tells."""
        path = self.path(source, target)
        if path is None:
            return None
        rate = Decimal(1)
        for market, inverse in path:
            units = price_of(market)
            if units is None:
                return None
            price = Decimal(units).scaleb(-market.instrument.price_decimals)
            rate = rate / price if inverse else rate * price
        return rate

    def changed_ms(self, source: str, target: str) -> int:
        """Give the time of the newest trade behind a rate, 0 where there is none."""
        trades = [market.last_trade for market, _ in self.path(source, target) or []]
        return max((trade.time_ms for trade in trades if trade is not None), default=0)

    def bar_rate(self, market: Market, bar: Bar, target: str) -> Decimal | None:
        """Give the rate that converts one bar: that of the moment before it opened, so that it never changes later."""
        return self.rate(market.instrument.quote, target, lambda pair: pair.series.close_before(bar.start))

    def _hop(self, source: str, target: str) -> tuple[Market, bool] | None:
        if (direct := self._pairs.get((source, target))) is not None:
            return direct, False
        if (inverse := self._pairs.get((target, source))) is not None:
            return inverse, True
        return None
