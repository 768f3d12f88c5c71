"""What a futures contract has beside its trades: index, mark, premium, open interest and funding.

The index is the last trade of the underlying's spot market, the mark the middle of the contract's own book, the premium
their relation.  They are sampled once a second (once a minute in the made-up history).
"""

from typing import Final, NamedTuple

from collector.simulator.fmfw.text import decimal_text, iso_time
from collector.simulator.fmfw.trading.candles import Series
from collector.simulator.fmfw.trading.market import Market

# The venue settles funding every eight hours.
FUNDING_INTERVAL_MS: Final = 8 * 3_600_000
RATIO_DECIMALS: Final = 12
_INTEREST: Final = 100_000_000  # 0.0001 a period, in 10**-12
# Settlements from before the start.
_PAST_FUNDINGS: Final = 30


class Funding(NamedTuple):
    """One settled funding, ratios in 10**-12."""

    time_ms: int
    rate: int
    average_premium: int


class Contract:
    """One futures contract's derived values, prices in its own units."""

    def __init__(self, market: Market, spot: Market | None) -> None:
        self.market = market
        self.spot = spot
        self.expiry_ms: int | None = None
        self.next_funding_ms = 0
        self.funding = Funding(0, _INTEREST, 0)
        self.fundings: list[Funding] = []
        self.series = {name: Series() for name in ("index_price", "mark_price", "premium_index", "open_interest")}
        self.index = self.mark = market.instrument.start_price
        self.premium = 0
        self.open_interest = 40_000 * market.instrument.mean_size
        self._premiums = 0
        self._samples = 0
        self._counted = 0

    def __repr__(self) -> str:
        return f"<Contract {self.market.symbol} mark {self.mark} index {self.index}>"

    @property
    def perpetual(self) -> bool:
        return self.market.instrument.contract_type == "perpetual"

    @property
    def average_premium(self) -> int:
        """The mean premium since the last funding."""
        return self._premiums // self._samples if self._samples else self.premium

    @property
    def indicative_rate(self) -> int:
        """What the funding would be now: the average premium with the interest held within 0.05 %."""
        average = self.average_premium
        return average + max(-500_000_000, min(500_000_000, _INTEREST - average))

    def open(self, begin_ms: int) -> None:
        """Begin the contract's life before `begin_ms`, with fundings behind it."""
        self.expiry_ms = self.market.instrument.expiry_ms(begin_ms)
        last = begin_ms - begin_ms % FUNDING_INTERVAL_MS
        self.next_funding_ms = last + FUNDING_INTERVAL_MS
        if self.perpetual:
            for number in range(_PAST_FUNDINGS, -1, -1):
                premium = self.market.random.randrange(-400_000_000, 400_000_000)
                rate = premium + max(-500_000_000, min(500_000_000, _INTEREST - premium))
                self.fundings.append(Funding(last - number * FUNDING_INTERVAL_MS, rate, premium))
            self.funding = self.fundings[-1]

    def sample(self, now_ms: int) -> None:
        """Take the values of this moment, and settle a funding that is due."""
        market = self.market
        self.mark = (market.asks.best + market.bids.best) // 2
        if self.spot is not None and self.spot.last_trade is not None:
            shift = market.instrument.price_decimals - self.spot.instrument.price_decimals
            self.index = self.spot.last_trade.price * 10**shift if shift >= 0 else self.mark
        else:
            self.index = self.mark
        self.premium = (self.mark - self.index) * 10**RATIO_DECIMALS // self.index
        self._premiums += self.premium
        self._samples += 1
        while self._counted < market.trades.end:
            self._counted = max(self._counted, market.trades.dropped)
            trade = market.trades[self._counted]
            self.open_interest += trade.size if self._counted % 5 < 3 else -trade.size
            self._counted += 1
        self.open_interest = max(self.open_interest, market.instrument.mean_size)
        for name, value in (
            ("index_price", self.index),
            ("mark_price", self.mark),
            ("premium_index", self.premium),
            ("open_interest", self.open_interest),
        ):
            self.series[name].add(now_ms, value, 0)
        if self.perpetual and now_ms >= self.next_funding_ms:
            self.funding = Funding(self.next_funding_ms, self.indicative_rate, self.average_premium)
            self.fundings.append(self.funding)
            self.next_funding_ms += FUNDING_INTERVAL_MS
            self._premiums = self._samples = 0

    def value_text(self, series: str, value: int) -> str:
        """Write a value of one of the four series."""
        if series == "premium_index":
            return ratio(value)
        if series == "open_interest":
            return self.market.instrument.size_text(value)
        return self.market.instrument.price_text(value)

    def rest_info(self, now_ms: int) -> dict[str, object]:
        """Give the answer of `/futures/info/{symbol}`."""
        info: dict[str, object] = {
            "contract_type": self.market.instrument.contract_type,
            "mark_price": self.market.instrument.price_text(self.mark),
            "index_price": self.market.instrument.price_text(self.index),
            "open_interest": self.market.instrument.size_text(self.open_interest),
            "timestamp": iso_time(now_ms),
        }
        if self.perpetual:
            info |= {
                "funding_rate": ratio(self.funding.rate),
                "next_funding_time": iso_time(self.next_funding_ms),
                "indicative_funding_rate": ratio(self.indicative_rate),
                "premium_index": ratio(self.premium),
                "avg_premium_index": ratio(self.average_premium),
                "interest_rate": ratio(_INTEREST),
            }
        else:
            info["indicative_settlement_price"] = self.market.instrument.price_text(self.index)
            info["expiry"] = iso_time(self.expiry_ms) if self.expiry_ms is not None else None
        return info

    def socket_info(self, now_ms: int) -> str:
        """Give the JSON object of the `futures/info` channel."""
        instrument = self.market.instrument
        common = (
            f'"c":"{instrument.contract_type}","t":{now_ms},"m":"{instrument.price_text(self.mark)}",'
            f'"i":"{instrument.price_text(self.index)}","o":"{instrument.size_text(self.open_interest)}"'
        )
        if self.perpetual:
            return (
                f'{{{common},"p":"{ratio(self.premium)}","P":"{ratio(self.average_premium)}",'
                f'"r":"{ratio(self.funding.rate)}","R":"{ratio(self.indicative_rate)}",'
                f'"I":"{ratio(_INTEREST)}","T":{self.next_funding_ms}}}'
            )
        return f'{{{common},"s":"{instrument.price_text(self.index)}","e":{self.expiry_ms}}}'

    def rest_funding(self, funding: Funding) -> dict[str, str]:
        """Give one item of `/futures/history/funding`."""
        return {
            "timestamp": iso_time(funding.time_ms),
            "funding_rate": ratio(funding.rate),
            "avg_premium_index": ratio(funding.average_premium),
            "next_funding_time": iso_time(funding.time_ms + FUNDING_INTERVAL_MS),
            "interest_rate": ratio(_INTEREST),
        }


def ratio(value: int) -> str:
    """Write a ratio held in 10**-12."""
    return decimal_text(value, RATIO_DECIMALS)
