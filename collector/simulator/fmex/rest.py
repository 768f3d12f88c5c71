"""What REST answers: the texts of `data`, newest first."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from collector.simulator.fmex import indexes, payloads
from collector.simulator.fmex.bars import SECONDS
from collector.simulator.fmex.books import Depth
from collector.simulator.fmex.hub import Hub
from collector.simulator.fmex.ledger import Ledger
from collector.simulator.fmex.market import Market
from collector.simulator.fmex.topics import LEVELS
from collector.simulator.kit.faults import Faults

_DEFAULT_LIMIT: Final = 20
# What the venue allows of `limit`.
_LIMIT_MAX: Final = 1500
# Trades of the last minute are in the answer without `before`.
_NEWEST_MS: Final = 60_000
# Larger numbers of `before` are milliseconds, smaller ones seconds.
_MILLISECONDS_MIN: Final = 100_000_000_000
_INDEX_VALUES: Final = 20

Query = Mapping[str, str]


class RestError(Exception):
    """An error answer; `status` is the venue's, `http` the protocol's."""

    def __init__(self, status: int, message: str, http: int = 400) -> None:
        self.status = status
        self.message = message
        self.http = http
        super().__init__(message)


class Rest:
    """Answers the public paths below `/v2/`."""

    def __init__(
        self,
        markets: Mapping[str, Market],
        hub: Hub,
        depth: Depth,
        ledger: Ledger,
        faults: Faults,
        now_ms: Callable[[], int],
        index_ms: Callable[[], int],
    ) -> None:
        self._markets = markets
        self._hub = hub
        self._depth = depth
        self._ledger = ledger
        self._faults = faults
        self._now_ms = now_ms
        self._index_ms = index_ms
        self._interest: dict[str, str] = {}

    def answer(self, path: str, query: Query) -> str:
        """Give the text of an answer's `data`. Raises `RestError`."""
        match path.split("/"):
            case ["public", "server-time"]:
                return str(self._now_ms())
            case ["public", "contracts", "symbols"]:
                return orjson.dumps([market.contract.listing() for market in self._markets.values()]).decode()
            case ["public", "contracts", "currencies"]:
                return '["btc"]'
            case ["public", "indexes", "symbols"]:
                return orjson.dumps([name for found in self._values() for name in found]).decode()
            case ["market", "ticker", symbol]:
                return self._ticker(self._market(symbol))
            case ["market", "all-tickers"]:
                return self._all_tickers()
            case ["market", "depth", level, symbol]:
                return self._book(level, self._market(symbol))
            case ["market", "trades", symbol]:
                return self.trades(self._market(symbol), _whole(query, "limit"), _whole(query, "before"))
            case ["market", "candles", period, symbol]:
                limit, before = _whole(query, "limit"), _whole(query, "before")
                return self.candles(self._market(symbol), period, limit, before, newest_first=True)
            case ["market", "indexes"]:
                return self._indexes()
            case ["market", "indexes", name]:
                return self._index(name)
            case ["market", "fex"]:
                return self._exchange()
            case _:
                raise RestError(40_400, "not found", http=404)

    def interest(self) -> str:
        """Give open interest by symbol, as the undocumented page of the other host does."""
        self._interest = {
            symbol: str(market.contract.interest + market.end % 1000) for symbol, market in self._markets.items()
        }
        return "{" + ",".join(f'"{symbol.upper()}":{value}' for symbol, value in self._interest.items()) + "}"

    def trades(self, market: Market, limit: int | None, before: int | None) -> str:
        """List trades, newest first, and write them into the ledger."""
        texts: list[str] = []
        end = len(market.trades)
        if before is not None:
            end = bisect_left(market.trades, before, key=lambda one: one.id)
        for place in range(end - 1, max(-1, end - 1 - min(limit or _DEFAULT_LIMIT, _LIMIT_MAX)), -1):
            one = market.trades[place]
            fresh = self._now_ms() - one.time_ms < _NEWEST_MS
            trade_id = one.id + 7 if fresh and self._faults.take("changed_id", market.symbol) else None
            texts.append("{" + payloads.trade(one, trade_id) + "}")
            self._ledger.trade(market.symbol, market.dropped + place)
        return f"[{','.join(texts)}]"

    def candles(self, market: Market, period: str, limit: int | None, before: int | None, *, newest_first: bool) -> str:
        """List bars and write them into the ledger; a `before` larger than any second means from now on."""
        name = period.upper()
        if name not in SECONDS:
            raise RestError(40_003, "invalid period")
        before_ms = before * 1000 if before is not None and before < _MILLISECONDS_MIN else None
        bars = market.minutes.bars(name, before_ms, min(limit or _DEFAULT_LIMIT, _LIMIT_MAX))
        texts: list[str] = []
        for bar in bars:
            said = payloads.bar(bar)
            texts.append("{" + said.sent + "}")
            self._ledger.candle(market.symbol, name, bar.start, said)
        return f"[{','.join(texts[::-1] if newest_first else texts)}]"

    def _market(self, symbol: str) -> Market:
        market = self._markets.get(symbol.lower())
        if market is None:
            raise RestError(40_003, "invalid symbol")
        return market

    def _ticker(self, market: Market) -> str:
        said, seq = payloads.ticker(market, market.minutes.day()), self._hub.ticker_seq[market.symbol]
        return f'{{"type":"ticker.{market.symbol}","seq":{seq},"ticker":{said.sent}}}'

    def _all_tickers(self) -> str:
        items = ",".join(
            f'{{"symbol":"{symbol}","seq":{self._hub.ticker_seq[symbol]},'
            f'"ticker":{payloads.ticker(market, market.minutes.day()).sent}}}'
            for symbol, market in self._markets.items()
        )
        return f'{{"type":"all-tickers","ts":{self._now_ms()},"tickers":[{items}]}}'

    def _book(self, level: str, market: Market) -> str:
        depth = LEVELS.get(level.lower())
        if depth is None:
            raise RestError(40_003, "invalid depth-level")
        view = self._depth.views[level.lower(), market.symbol]
        said = payloads.sides(market.bids.top(depth), market.asks.top(depth))
        return (
            f'{{"type":"depth.{level.lower()}.{market.symbol}","seq":{view.seq},"ts":{self._now_ms()},'
            f'"asks":{said.asks},"bids":{said.bids}}}'
        )

    def _values(self) -> Sequence[indexes.Values]:
        now_ms, step_ms = self._index_ms(), self._hub.index_step_ms
        return [indexes.values(market, now_ms, step_ms) for market in self._markets.values()]

    def _indexes(self) -> str:
        together: indexes.Values = {}
        for market, found in zip(self._markets.values(), self._values(), strict=True):
            together |= found
            prefix = market.contract.prefix
            for name, (time_ms, value) in found.items():
                self._ledger.rate(name, time_ms, value.plain)
            newest_ms = max(found[f"{prefix}{part}"][0] for part in ("_spot", "fair", "fr", "pi"))
            told = [found[f"{prefix}{part}"][1].plain for part in ("fair", "_spot", "fr8h")]
            self._ledger.derivative(market.symbol, newest_ms, [*told, self._interest.get(market.symbol)])
        return indexes.as_json(together)

    def _index(self, name: str) -> str:
        if not any(name in found for found in self._values()):
            raise RestError(40_003, "invalid symbol")
        now_ms, step_ms = self._index_ms(), self._hub.index_step_ms
        market = next(one for one in self._markets.values() if name.startswith(one.contract.prefix))
        pairs = [indexes.values(market, now_ms - back * step_ms, step_ms)[name] for back in range(_INDEX_VALUES)]
        return "[" + ",".join(f"[{time_ms},{value.sent}]" for time_ms, value in pairs) + "]"

    def _exchange(self) -> str:
        found = indexes.exchange_rates(self._index_ms(), self._hub.index_step_ms)
        for name, (time_ms, value) in found.items():
            self._ledger.rate(name, time_ms, value.plain)
        return indexes.as_json(found)


def _whole(query: Query, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise RestError(40_003, f"invalid {name}")
    return int(text)
