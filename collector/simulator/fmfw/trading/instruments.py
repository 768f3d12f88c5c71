"""What the venue lists: symbols with their currencies, steps and temper.

The names follow the real venue's habits, the awkward ones too: a code that is not base plus quote, a step of 1e-11, a
quantity step of 1000, a perpetual without base currency, a dated future.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

from collector.simulator.fmfw.text import decimal_text


@dataclass(frozen=True)
class Instrument:
    """One symbol.  `price` and `size` are integers of 10**-decimals; `size_step` is in those units as well."""

    symbol: str
    base: str | None
    quote: str
    price_decimals: int
    size_decimals: int
    start_price: int
    mean_size: int
    weight: float = 1.0
    depth: int = 60
    size_step: int = 1
    margin: bool = False
    contract_type: str | None = None
    underlying: str | None = None
    expiry_month_day: tuple[int, int] | None = None

    @property
    def is_futures(self) -> bool:
        return self.contract_type is not None

    @cached_property
    def value_decimals(self) -> int:
        """Decimals of price times quantity."""
        return self.price_decimals + self.size_decimals

    def price_text(self, price: int) -> str:
        return decimal_text(price, self.price_decimals)

    def size_text(self, size: int) -> str:
        """Write a quantity; none at all is the bare "0" whatever the precision."""
        return decimal_text(size, self.size_decimals) if size else "0"

    def value_text(self, value: int) -> str:
        return decimal_text(value, self.value_decimals)

    @property
    def tick_text(self) -> str:
        """The price step."""
        return decimal_text(1, self.price_decimals)

    @property
    def increment_text(self) -> str:
        """The quantity step."""
        return decimal_text(self.size_step, self.size_decimals)

    def expiry_ms(self, now_ms: int) -> int | None:
        """Give the next expiry after `now_ms` at 08:00 UTC, None for what never expires."""
        if self.expiry_month_day is None:
            return None
        month, day = self.expiry_month_day
        year = datetime.fromtimestamp(now_ms / 1000, UTC).year
        expiry = int(datetime(year, month, day, 8, tzinfo=UTC).timestamp()) * 1000
        if expiry <= now_ms:
            expiry = int(datetime(year + 1, month, day, 8, tzinfo=UTC).timestamp()) * 1000
        return expiry


_NAMED: Final = (
    Instrument("BTCUSDT", "BTC", "USDT", 2, 5, 4_312_055, 8_000, weight=30, depth=300, margin=True),
    Instrument("ETHUSDT", "ETH", "USDT", 3, 4, 2_310_450, 9_000, weight=22, depth=200, margin=True),
    Instrument("ETHBTC", "ETH", "BTC", 6, 4, 53_582, 12_000, weight=12, depth=120, margin=True),
    Instrument(
        "BTCUSDT_PERP",
        None,
        "USDT",
        2,
        5,
        4_313_010,
        20_000,
        weight=16,
        depth=150,
        margin=True,
        contract_type="perpetual",
        underlying="BTC",
    ),
    Instrument("EOSUSDT", "EOS", "USDT", 5, 2, 498_180, 3_000, weight=8, depth=1_500),
    Instrument("MATICUSD", "MATIC", "USDT", 7, 0, 8_512_300, 400, weight=4),
    Instrument("BTTBTC", "BTT", "BTC", 11, 0, 3_210, 90_000, weight=3, size_step=1_000),
    Instrument("TRVBCH", "TRV", "BCH", 6, 2, 4_420, 150, weight=0.05, depth=30),
    Instrument(
        "ETH-1225",
        None,
        "USDT",
        3,
        4,
        2_330_250,
        5_000,
        weight=3,
        depth=80,
        contract_type="cash_settled",
        underlying="ETH",
        expiry_month_day=(12, 25),
    ),
    Instrument("NEOBTC", "NEO", "BTC", 7, 2, 8_787, 1_500, weight=5, depth=90),
    Instrument("DOGEUSDT", "DOGE", "USDT", 7, 0, 2_243_210, 2_000, weight=6, depth=110),
    Instrument("BCHUSDT", "BCH", "USDT", 3, 4, 588_120, 6_000, weight=4),
)


def instruments(count: int | None = None) -> tuple[Instrument, ...]:
    """List the first `count` symbols: the named ones, then as many plain ones as it takes."""
    if count is None:
        return _NAMED
    plain = tuple(
        Instrument(f"SIM{number}USDT", f"SIM{number}", "USDT", 4, 2, 10_000 + 37 * number, 700, weight=0.5, depth=20)
        for number in range(count - len(_NAMED))
    )
    return _NAMED[:count] + plain
