"""The REST paths that tell currencies in each other: `/price/rate` and `/price/history`.

Unlike every other path they use `from` and `to` for currencies, and `since` and `until` for time.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from collector.simulator.fmfw import query
from collector.simulator.fmfw.errors import NoSuchCurrency
from collector.simulator.fmfw.query import Query
from collector.simulator.fmfw.text import iso_time, plain_text, ratio_text
from collector.simulator.fmfw.trading.candles import Bar
from collector.simulator.fmfw.trading.market import Market
from collector.simulator.fmfw.trading.rates import Rates

Answer = Any


class Conversion:
    """Answers by the rates of this moment and the bars of the past."""

    def __init__(self, rates: Rates, now_ms: Callable[[], int]) -> None:
        self._rates = rates
        self._now_ms = now_ms

    def rate(self, asked: Query) -> Answer:
        """Answer `/price/rate`."""
        target = self._target(asked)
        answer: dict[str, object] = {}
        for source in self._sources(asked, target):
            rate = self._rates.rate(source, target)
            if rate is not None:
                at = self._rates.changed_ms(source, target) or self._now_ms()
                answer[source] = {"currency": target, "price": plain_text(rate), "timestamp": iso_time(at)}
        return answer

    def history(self, asked: Query) -> Answer:
        """Answer `/price/history`."""
        target = self._target(asked)
        wanted = query.page(asked, single=False, names=("since", "until"), default_limit=1)
        chosen_period = query.period(asked)
        answer: dict[str, object] = {}
        for source in self._sources(asked, target):
            path = self._rates.path(source, target)
            if not path:
                continue
            # Through two markets, the first one's bars are converted at the second one's price before each bar.
            market, inverse = path[0]
            bars = wanted.cut(market.series.bars(chosen_period, wanted.first, wanted.last))
            answer[source] = {
                "currency": target,
                "history": [self._history_item(bar, market, inverse, path[1:]) for bar in bars],
            }
        return answer

    def _history_item(self, bar: Bar, market: Market, inverse: bool, further: Iterable[tuple[Market, bool]]) -> Answer:
        factor = Decimal(1)
        for other, divide in further:
            units = other.series.close_before(bar.start)
            price = Decimal(units or 1).scaleb(-other.instrument.price_decimals)
            factor = factor / price if divide else factor * price
        shift = Decimal(1).scaleb(-market.instrument.price_decimals)

        def text(units: int) -> str:
            return ratio_text(factor, units * shift) if inverse else plain_text(factor * units * shift)

        low, high = (bar.high, bar.low) if inverse else (bar.low, bar.high)
        return {
            "timestamp": iso_time(bar.start),
            "open": text(bar.open),
            "close": text(bar.close),
            "min": text(low),
            "max": text(high),
        }

    def _target(self, asked: Query) -> str:
        target = query.required(asked, "to")
        if target not in self._rates.currencies:
            raise NoSuchCurrency(target)
        return target

    def _sources(self, asked: Query, target: str) -> list[str]:
        chosen = query.names(asked, "from")
        for one in chosen or ():
            if one not in self._rates.currencies:
                raise NoSuchCurrency(one)
        return [one for one in chosen or self._rates.currencies if one != target]
