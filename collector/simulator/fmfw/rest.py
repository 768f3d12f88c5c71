"""The public REST paths: `answer(path, query)` gives what goes into the JSON body, or raises the venue's error.

Nothing here knows HTTP: limits, statuses and faults of the line are the server's.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from collector.simulator.fmfw import payloads, query
from collector.simulator.fmfw.errors import NoSuchCurrency, NoSuchSymbol, NothingFound
from collector.simulator.fmfw.ledger import Ledger
from collector.simulator.fmfw.query import Page, Query
from collector.simulator.fmfw.rest_conversion import Conversion
from collector.simulator.fmfw.text import iso_time, iso_time_ns
from collector.simulator.fmfw.trading import currencies
from collector.simulator.fmfw.trading.candles import Bar
from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.futures import Contract
from collector.simulator.fmfw.trading.instruments import Instrument
from collector.simulator.fmfw.trading.market import Market
from collector.simulator.fmfw.trading.rates import Rates

_FUTURES_SERIES: Final = ("index_price", "mark_price", "premium_index", "open_interest")
_NAMELESS: Final = ("price/rate", "price/history")

Answer = Any


class Rest:
    """Answers public requests from the exchange's state at this moment."""

    def __init__(self, exchange: Exchange, rates: Rates, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._rates = rates
        self._now_ms = now_ms
        self._conversion = Conversion(rates, now_ms)
        self._per_market: dict[str, Callable[[Market, Query, bool], Answer]] = {
            "symbol": self._symbol,
            "ticker": self._ticker,
            "price/ticker": self._price_ticker,
            "trades": self._trades,
            "orderbook": self._book,
            "candles": self._candles,
        }
        self._per_contract: dict[str, Callable[[Contract, Query, bool], Answer]] = {
            "futures/info": self._info,
            "futures/history/funding": self._funding,
        } | {f"futures/candles/{name}": self._contract_candles(name) for name in _FUTURES_SERIES}

    def answer(self, path: str, asked: Query) -> Answer:
        """Answer `path` (what follows `/public/`)."""
        if path in _NAMELESS:
            return self._conversion.rate(asked) if path == "price/rate" else self._conversion.history(asked)
        if path.split("/")[0] == "currency":
            return self._currency(path, asked)
        if path == "converted/candles" or path.startswith("converted/candles/"):
            return self._converted(path.removeprefix("converted/candles").strip("/"), asked)
        for route in (path, path.rpartition("/")[0]):
            symbol = path[len(route) :].strip("/")
            if (of_market := self._per_market.get(route)) is not None:
                return self._of_each(of_market, self._exchange.markets, symbol, asked)
            if (of_contract := self._per_contract.get(route)) is not None:
                answer = self._of_each(of_contract, self._exchange.contracts, symbol, asked)
                return {symbol: answer} if symbol and route == "futures/history/funding" else answer
        raise NothingFound(f"No such path: {path}")

    def ticker(self, market: Market) -> dict[str, str | None]:
        """Give one item of `/ticker`."""
        day, last = market.day(self._now_ms()), market.last_trade
        price = market.instrument.price_text
        return {
            "ask": price(market.asks.best),
            "bid": price(market.bids.best),
            "last": price(last.price) if last else None,
            "low": price(day.low if day.low is not None else last.price) if last else None,
            "high": price(day.high if day.high is not None else last.price) if last else None,
            "open": price(day.open if day.open is not None else last.price) if last else None,
            "volume": market.instrument.size_text(day.volume),
            "volume_quote": market.instrument.value_text(day.value) if day.value else "0",
            "timestamp": iso_time(market.changed_ms),
        }

    @staticmethod
    def _of_each(
        give: Callable[[Any, Query, bool], Answer], known: Mapping[str, Any], symbol: str, asked: Query
    ) -> Answer:
        """Answer for the symbol of the path bare, or for the symbols asked for (all without) in an object."""
        if symbol:
            if symbol not in known:
                raise NoSuchSymbol(symbol)
            return give(known[symbol], asked, True)
        chosen = query.names(asked, "symbols")
        for one in chosen or ():
            if one not in known:
                raise NoSuchSymbol(one)
        return {one: give(known[one], asked, False) for one in (known if chosen is None else chosen)}

    def _symbol(self, market: Market, _asked: Query, _single: bool) -> Answer:
        return _listing(market.instrument, self._now_ms())

    def _ticker(self, market: Market, _asked: Query, _single: bool) -> Answer:
        return self.ticker(market)

    def _price_ticker(self, market: Market, _asked: Query, _single: bool) -> Answer:
        last = market.last_trade
        return {
            "price": market.instrument.price_text(last.price) if last else None,
            "timestamp": iso_time(last.time_ms if last else market.changed_ms),
        }

    def _trades(self, market: Market, asked: Query, single: bool) -> Answer:
        wanted = query.page(asked, single=single, by=True)
        log = market.trades
        low, high = (log.range_by_id if wanted.by_id else log.range_by_time)(wanted.first, wanted.last)
        price, size = market.instrument.price_text, market.instrument.size_text
        window = wanted.window(low, high)
        if window:
            self._ledger.gave_trades(market.symbol, min(window), max(window) + 1)
        return [
            {
                "id": trade.id,
                "price": price(trade.price),
                "qty": size(trade.size),
                "side": "buy" if trade.buy else "sell",
                "timestamp": iso_time(trade.time_ms),
            }
            for trade in (log[index] for index in window)
        ]

    def _book(self, market: Market, asked: Query, single: bool) -> Answer:
        depth = query.bounded(asked, "depth", 100 if single else 10, 0, 1_000_000)
        volume = query.amount(asked, "volume") if single else None
        instrument = market.instrument

        def side(levels: list[tuple[int, int]]) -> list[list[str]]:
            if volume is not None:
                levels = _deep_enough(levels, int(volume.scaleb(instrument.size_decimals)))
            return [[instrument.price_text(price), instrument.size_text(size)] for price, size in levels]

        most = None if volume is not None or depth == 0 else depth
        return {
            "timestamp": iso_time_ns(market.changed_ms, market.sequence * 7919 % 1_000_000),
            "ask": side(market.asks.top(most)),
            "bid": side(market.bids.top(most)),
        }

    def _candles(self, market: Market, asked: Query, single: bool) -> Answer:
        price, instrument = market.instrument.price_text, market.instrument
        wanted = query.page(asked, single=single)
        period = query.period(asked)
        bars = market.series.bars(period, wanted.first, wanted.last)
        for bar in wanted.cut(bars):
            self._ledger.gave_bar(f"candles/{period}", market.symbol, bar.start, payloads.bar(instrument, bar))
        return [
            {
                **_bar_times(bar, price),
                "volume": instrument.size_text(bar.volume),
                "volume_quote": instrument.value_text(bar.value),
            }
            for bar in wanted.cut(bars)
        ]

    def _converted(self, symbol: str, asked: Query) -> Answer:
        target = query.required(asked, "target_currency")
        if target not in self._rates.currencies:
            raise NoSuchCurrency(target)
        chosen_period = query.period(asked)

        def bars_of(market: Market, _asked: Query, single: bool) -> Answer:
            wanted: Page = query.page(asked, single=single)
            bars = wanted.cut(market.series.bars(chosen_period, wanted.first, wanted.last))
            for bar in bars:
                if (text := payloads.converted_bar(self._rates, market, bar, target)) is not None:
                    channel = f"converted/candles/{chosen_period}@{target}"
                    self._ledger.gave_bar(channel, market.symbol, bar.start, text)
            values = [(bar, payloads.converted_values(self._rates, market, bar, target)) for bar in bars]
            keys = ("open", "close", "max", "min", "volume", "volume_quote")
            return [
                {"timestamp": iso_time(bar.start), **dict(zip(keys, texts, strict=True))}
                for bar, texts in values
                if texts is not None
            ]

        data = self._of_each(bars_of, self._exchange.markets, symbol, asked)
        return {"target_currency": target, "data": data}

    def _info(self, contract: Contract, _asked: Query, _single: bool) -> Answer:
        return contract.rest_info(self._now_ms())

    def _funding(self, contract: Contract, asked: Query, single: bool) -> Answer:
        wanted = query.page(asked, single=single)
        return [
            contract.rest_funding(funding)
            for funding in wanted.cut([one for one in contract.fundings if _within(one.time_ms, wanted)])
        ]

    def _contract_candles(self, name: str) -> Callable[[Contract, Query, bool], Answer]:
        def answer(contract: Contract, asked: Query, single: bool) -> Answer:
            wanted = query.page(asked, single=single)
            bars = contract.series[name].bars(query.period(asked), wanted.first, wanted.last)
            return [_bar_times(bar, lambda value: contract.value_text(name, value)) for bar in wanted.cut(bars)]

        return answer

    def _currency(self, path: str, asked: Query) -> Answer:
        known = self._rates.currencies
        _, _, code = path.partition("/")
        chosen = [code] if code else query.names(asked, "currencies") or known
        for one in chosen:
            if one not in known:
                raise NoSuchCurrency(one)
        listing = {one: currencies.listing(one) for one in chosen}
        return listing[code] if code else listing


def _bar_times(bar: Bar, text: Callable[[int], str]) -> dict[str, str]:
    return {
        "timestamp": iso_time(bar.start),
        "open": text(bar.open),
        "close": text(bar.close),
        "min": text(bar.low),
        "max": text(bar.high),
    }


def _within(time_ms: int, wanted: Page) -> bool:
    return (wanted.first is None or time_ms >= wanted.first) and (wanted.last is None or time_ms <= wanted.last)


def _deep_enough(levels: list[tuple[int, int]], volume: int) -> list[tuple[int, int]]:
    """Give as many of the best levels as together hold `volume`."""
    taken: list[tuple[int, int]] = []
    for level in levels:
        if volume <= 0:
            break
        taken.append(level)
        volume -= level[1]
    return taken


def _listing(instrument: Instrument, now_ms: int) -> dict[str, object]:
    """Give one item of `/symbol`."""
    listing: dict[str, object] = {"type": "futures" if instrument.is_futures else "spot"}
    if instrument.is_futures:
        expiry = instrument.expiry_ms(now_ms)
        listing |= {
            "contract_type": instrument.contract_type,
            "expiry": iso_time(expiry) if expiry is not None else None,
            "underlying": instrument.underlying,
        }
    listing |= {
        "base_currency": instrument.base,
        "quote_currency": instrument.quote,
        "status": "working",
        "quantity_increment": instrument.increment_text,
        "tick_size": instrument.tick_text,
        "take_rate": "0.0007" if instrument.is_futures else "0.002",
        "make_rate": "0.0002" if instrument.is_futures else "0.0015",
        "fee_currency": instrument.quote,
    }
    if instrument.margin:
        listing |= {"margin_trading": True, "max_initial_leverage": "100.00" if instrument.is_futures else "10.00"}
    return listing
