"""The REST interface: paths to methods, and each method's answer."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from collector.simulator.finam import payloads
from collector.simulator.finam.bars import FRAME_MINUTES, NUMBERS, SPAN_MAX_DAYS, Bar
from collector.simulator.finam.exchange import Exchange
from collector.simulator.finam.instruments import EXCHANGES, asset, full_asset, parameters
from collector.simulator.finam.ledger import Ledger
from collector.simulator.finam.market import Market
from collector.simulator.finam.text import boxed, read_time, timestamp
from collector.simulator.kit.faults import Faults

_DAY_US: Final = 86_400_000_000


class ApiError(Exception):
    """A refusal: HTTP status, gRPC code and text."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)


def method_of(path: str) -> tuple[str, str | None] | None:
    """Name the method and the symbol of a path below `/v1`; None for a path that does not exist."""
    parts = path.strip("/").split("/")
    plain = {
        ("exchanges",): "Exchanges",
        ("assets",): "Assets",
        ("assets", "all"): "AllAssets",
        ("assets", "clock"): "Clock",
        ("usage",): "GetUsageMetrics",
    }.get(tuple(parts))
    if plain is not None:
        return plain, None
    match parts:
        case ["assets", symbol]:
            return "GetAsset", symbol
        case ["assets", symbol, tail]:
            method = _OF_ASSET.get(tail)
        case ["instruments", symbol, *rest]:
            method = _OF_INSTRUMENT.get("/".join(rest))
        case _:
            return None
    return (method, symbol) if method else None


_OF_ASSET: Final = {
    "params": "GetAssetParams",
    "schedule": "Schedule",
    "constituents": "GetConstituents",
    "options": "OptionsChain",
}
_OF_INSTRUMENT: Final = {
    "quotes/latest": "LastQuote",
    "orderbook": "OrderBook",
    "trades/latest": "LatestTrades",
    "bars": "Bars",
}


class Rest:
    """Answers the methods. `trades_kept` is how many a list of latest trades holds."""

    def __init__(
        self,
        exchange: Exchange,
        ledger: Ledger,
        faults: Faults,
        now_us: Callable[[], int],
        *,
        account: str,
        trades_kept: int,
        page: int,
        range_error: str,
        schedule: str,
    ) -> None:
        self._exchange = exchange
        self._ledger = ledger
        self._faults = faults
        self._now_us = now_us
        self._account = account
        self.trades_kept = trades_kept
        self._page = page
        self._range_error = range_error
        self.schedule = schedule
        self._methods: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "Exchanges": self._exchanges,
            "Assets": self._assets,
            "AllAssets": self._all_assets,
            "Clock": self._clock,
        }
        self._market_methods: dict[str, Callable[[Market, Mapping[str, str]], Any]] = {
            "GetAsset": self._asset,
            "GetAssetParams": self._params,
            "Schedule": self._schedule,
            "GetConstituents": self._constituents,
            "OptionsChain": self._options,
            "LastQuote": self._quote,
            "OrderBook": self._book,
            "LatestTrades": self._trades,
            "Bars": self._bars,
        }

    def answer(self, method: str, symbol: str | None, query: Mapping[str, str]) -> Any:
        """Answer a method. Raises `ApiError`."""
        if symbol is None:
            return self._methods[method](query)
        if "@" not in symbol:
            raise ApiError(400, 3, "Mic must not be empty")
        market = self._exchange.markets.get(symbol)
        if market is None or self._faults.take("404", symbol=symbol, channel=method):
            raise ApiError(404, 5, f"Instrument {symbol} not found")
        if self._faults.take("403", symbol=symbol, channel=method):
            raise ApiError(403, 7, "Permission denied")
        return self._market_methods[method](market, query)

    # -- reference data ----------------------------------------------------------------------------------------------

    def _exchanges(self, _query: Mapping[str, str]) -> Any:
        return {"exchanges": [{"mic": mic, "name": name} for mic, name in EXCHANGES.items()]}

    def _assets(self, _query: Mapping[str, str]) -> Any:
        return {"assets": [asset(market.instrument) for market in self._exchange.markets.values()]}

    def _all_assets(self, query: Mapping[str, str]) -> Any:
        rows = [asset(market.instrument) for market in self._exchange.markets.values()]
        cursor = query.get("cursor", "0")
        if not cursor.isdigit():
            raise ApiError(400, 3, "cursor is not a number")
        if query.get("only_disabled") == "true":
            rows = []
        begin = int(cursor)
        page = rows[begin : begin + self._page]
        if begin and page and self._faults.take("duplicate_asset"):
            page = [rows[begin - 1], *page]
        following = begin + self._page
        return {"assets": page, "next_cursor": str(following if following < len(rows) else 0)}

    def _clock(self, _query: Mapping[str, str]) -> Any:
        return {"timestamp": timestamp(self._now_us())}

    def _asset(self, market: Market, query: Mapping[str, str]) -> Any:
        self._own(query)
        return full_asset(market.instrument, self._now_us())

    def _params(self, market: Market, query: Mapping[str, str]) -> Any:
        self._own(query)
        return parameters(market.instrument, self._account)

    def _own(self, query: Mapping[str, str]) -> None:
        account = query.get("account_id")
        if not account:
            raise ApiError(400, 3, "Invalid arguments:account_id")
        if account != self._account:
            raise ApiError(404, 5, "account not found")

    def _schedule(self, market: Market, _query: Mapping[str, str]) -> Any:
        now = self._now_us()
        midnight = now - now % _DAY_US
        if self.schedule == "closed":
            spans = [("CORE_TRADING", midnight - 3 * _DAY_US, midnight - 2 * _DAY_US)]
        else:
            early = midnight + 7 * 3_600_000_000
            spans = [
                ("EARLY_TRADING", midnight, early),
                ("CORE_TRADING", early, midnight + _DAY_US),
                ("EARLY_TRADING", midnight + _DAY_US, midnight + 2 * _DAY_US),
            ]
        return {
            "symbol": market.symbol,
            "sessions": [
                {"type": kind, "interval": {"start_time": timestamp(begin), "end_time": timestamp(end)}}
                for kind, begin, end in spans
            ],
        }

    def _constituents(self, market: Market, _query: Mapping[str, str]) -> Any:
        if market.instrument.quoted:
            raise ApiError(404, 5, f"{market.symbol} is not an index")
        rows = [
            {"symbol": one.symbol, "name": one.instrument.name, "sector": "", "sub_sector": "", "cik": ""}
            for one in self._exchange.markets.values()
            if one.instrument.kind == "EQUITIES"
        ]
        return {"constituents": rows, "next_cursor": "0"}

    def _options(self, market: Market, _query: Mapping[str, str]) -> Any:
        strike = market.instrument.start // 10**market.instrument.decimals
        day = {"year": 2026, "month": 12, "day": 17}
        return {
            "symbol": market.symbol,
            "options": [
                {
                    "symbol": f"{market.instrument.ticker}{side[5]}{strike}@{market.instrument.mic}",
                    "type": side,
                    "contract_size": boxed("1.0"),
                    "trade_first_day": day,
                    "trade_last_day": day,
                    "strike": boxed(f"{strike}.0"),
                    "multiplier": boxed("1.0"),
                    "expiration_first_day": day,
                    "expiration_last_day": day,
                }
                for side in ("TYPE_CALL", "TYPE_PUT")
            ],
        }

    # -- market data -------------------------------------------------------------------------------------------------

    def _quote(self, market: Market, _query: Mapping[str, str]) -> Any:
        quote = payloads.quote(market)
        self._ledger.tick(market.symbol, payloads.quote_row(quote, market.changed_us))
        return {"symbol": market.symbol, "quote": quote}

    def _book(self, market: Market, _query: Mapping[str, str]) -> Any:
        crossed = self._faults.take("crossed_book", symbol=market.symbol) is not None
        rows = payloads.book(market, crossed=crossed)
        if rows:
            self._ledger.book(market.symbol, payloads.book_row(rows, market.changed_us, snapshot=True))
        return {"symbol": market.symbol, "orderbook": {"rows": rows}}

    def _trades(self, market: Market, _query: Mapping[str, str]) -> Any:
        newest = market.trades[-self.trades_kept :][::-1]
        if self._faults.take("short_list", symbol=market.symbol):
            newest = [trade for trade in newest if trade.id % 3]
        for trade in newest:
            self._ledger.trade(market.instrument, trade)
        return {"symbol": market.symbol, "trades": [payloads.trade(market.instrument, one) for one in newest]}

    def _bars(self, market: Market, query: Mapping[str, str]) -> Any:
        frame = query.get("timeframe", "TIME_FRAME_UNSPECIFIED")
        if frame.isdigit():
            frame = NUMBERS.get(int(frame), frame)
        if frame not in FRAME_MINUTES:
            raise ApiError(400, 3, f"Invalid timeframe {frame}")
        try:
            from_us, to_us = (read_time(query[f"interval.{end}_time"]) for end in ("start", "end"))
        except (KeyError, ValueError) as error:
            raise ApiError(400, 3, f"Invalid interval: {error}") from error
        bars: list[Bar] = []
        if to_us - from_us <= SPAN_MAX_DAYS.get(frame, 30) * _DAY_US:
            bars = market.series.bars(frame, from_us, to_us)
        elif self._range_error == "400":
            raise ApiError(400, 3, "Invalid date range")
        if self._faults.take("empty_bars", symbol=market.symbol):
            bars = []
        for one in bars:
            self._ledger.bar(market.instrument, frame, one)
        return {"symbol": market.symbol, "bars": [payloads.bar(market.instrument, one) for one in bars]}
