"""The settings of a section with `adapter = "metaapi"`. Each error's text says what would be right.

Intervals that the venue's documentation leaves open are settings, with the value of the venue's own client as default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from collector.venues.adapter import VenueSettings
from collector.venues.kit.settings import GraceSeconds, known, listed, once
from collector.venues.metaapi.periods import MT5_PERIODS

# The default domain of the venue's own client.
DOMAIN = "agiliumtrade.agiliumtrade.ai"

STREAMS = ("trades", "ticks", "books", "candles")
# How many accounts share a socket by default. The venue's own client opens another socket for the 101st account.
ACCOUNTS_PER_CONNECTION_DEFAULT = 100

Ticks = Literal["auto", "quotes", "ticks", "both"]

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")

_listed = listed('EURUSD,GBP* or ["EURUSD", "GBP*"]')


def _base(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query:
        raise ValueError(f"{value!r} is not an address; write https://host:port")
    return value.rstrip("/")


def _host(value: str | None) -> str | None:
    if value is not None and not _HOST.fullmatch(value):
        raise ValueError(f"{value!r} is not a host's name; write it without https:// and without a path")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        # The text goes to the log and must not show the value.
        raise ValueError("is not a token; copy it from https://app.metaapi.cloud/token")
    return value


# Lists that may also be written as one text with commas: of names, each once, and of known streams and periods.
Names = Annotated[tuple[str, ...], _listed, AfterValidator(once)]
Streams = Annotated[tuple[str, ...], _listed, known("stream", STREAMS)]
Periods = Annotated[tuple[str, ...], _listed, known("candle period", tuple(MT5_PERIODS))]


class AccountSettings(BaseModel):
    """A trading account as a source, `[venues.metaapi.accounts.NAME]`. What is left out is taken from the venue."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str = Field(min_length=1, max_length=100, description="The account's id at MetaAPI.")
    symbols: Names = Field((), description='The broker\'s names or patterns such as "EURUSD", "XAU*"; "*" means all.')
    streams: Streams | None = Field(None, description="What to record of this account.")
    candles: Periods | None = Field(None, description="Candle periods of this account.")
    ticks: Ticks | None = Field(None, description="Where ticks come from for this account.")


class MetaapiSettings(VenueSettings):
    """A section `[venues.metaapi]`, or of any name with `adapter = "metaapi"`."""

    token: Annotated[SecretStr, AfterValidator(_token)] = Field(
        description="The API token; better in a file than here (token_file)."
    )
    accounts: dict[str, AccountSettings] = Field(
        default_factory=dict,
        description='Tables [venues.metaapi.accounts.NAME] with id = "..", symbols = [..] and, where they differ from '
        "the settings here, streams, candles and ticks.",
    )
    streams: Streams = Field(STREAMS, description="What to record: any of " + ", ".join(STREAMS) + ".")
    candles: Periods = Field(("1m",), description="Candle periods: any of " + ", ".join(MT5_PERIODS) + ".")
    ticks: Ticks = Field(
        "auto",
        description="Where ticks come from: quotes (conflated), ticks (each one, with deals where the market has "
        "them), both; auto: ticks on MetaTrader 5, quotes on MetaTrader 4.",
    )
    symbol_names: Literal["auto", "plain", "account"] = Field(
        "auto",
        description='How instruments are called: plain "EURUSD", or "NAME:EURUSD" with the account\'s name; auto: '
        "plain while there is one account only. A change makes new instruments; the old ones keep their rows.",
    )
    candle_series: Literal["bid", "trade"] = Field(
        "bid", description="What candles are made of: bid for most brokers, trade where the market is an exchange."
    )
    ticks_interval_ms: int = Field(
        0,
        ge=-1,
        le=3_600_000,
        description="Milliseconds between packets of ticks; 0: every tick, -1: as the account is set.",
    )
    quotes_interval_ms: int = Field(
        0, ge=-1, le=3_600_000, description="Milliseconds between quotes; -1: as the account is set."
    )
    candles_interval_ms: int = Field(
        0,
        ge=-1,
        le=3_600_000,
        description="Milliseconds between states of a growing candle; -1: as the account is set.",
    )
    books_interval_ms: int = Field(
        500, ge=-1, le=3_600_000, description="Milliseconds between books; -1: as the account is set."
    )
    domain: Annotated[str, AfterValidator(_host)] = Field(DOMAIN, description="The venue's domain.")
    region: str | None = Field(
        None, description="Use the account's replica in this region. Left out: the account's own region."
    )
    base_url: Annotated[str | None, AfterValidator(_base)] = Field(
        None, description="One address that serves all of the venue's hosts by path. Left out: the real hosts."
    )
    instance: Literal[0, 1] = Field(
        0, description="Which instance of an account with high reliability is the source; each tick is stored once."
    )
    dedicated_hosts: bool = Field(True, description="Use a dedicated server where the venue names one.")
    accounts_per_connection: int = Field(
        ACCOUNTS_PER_CONNECTION_DEFAULT, ge=1, le=300, description="Accounts that share a socket."
    )
    messages_per_second: float = Field(20, gt=0, le=100, description="Requests sent on sockets, all together.")
    rest_per_second: float = Field(2, gt=0, le=50, description="REST calls; each costs credits.")
    refresh_seconds: float = Field(
        600, ge=5, le=3600, description="Subscriptions are renewed after a random part of this; otherwise they expire."
    )
    status_seconds: float = Field(
        60, ge=2, le=3600, description="A terminal without a status for this long is subscribed to again."
    )
    reorder_seconds: float = Field(
        2, ge=0, le=60, description="How long a missing sequence number may still come before it counts as lost."
    )
    grace_seconds: GraceSeconds = 5

    @model_validator(mode="after")
    def _something_to_record(self) -> Self:
        if not self.accounts and self.enabled:
            raise ValueError('accounts: none; add a table [venues.metaapi.accounts.demo] with id = ".." and symbols')
        ids: dict[str, str] = {}
        for name, account in self.accounts.items():
            if not _ACCOUNT_NAME.fullmatch(name):
                raise ValueError(f"accounts: {name!r} is not a name; use letters, digits, - and _")
            if account.id in ids:
                raise ValueError(f"accounts: {name} and {ids[account.id]} have the same id")
            ids[account.id] = name
            if not account.symbols:
                raise ValueError(f'accounts: {name} has no symbols; write symbols = ["EURUSD"], or "*" for all')
            if not self.streams_of(account):
                raise ValueError(f"accounts: {name} has no streams; name some of {', '.join(STREAMS)}")
            if "candles" in self.streams_of(account) and not self.candles_of(account):
                raise ValueError(f"accounts: {name} has no candle periods, yet its streams have candles")
        return self

    def streams_of(self, account: AccountSettings) -> tuple[str, ...]:
        """Return what is recorded of an account."""
        return self.streams if account.streams is None else account.streams

    def candles_of(self, account: AccountSettings) -> tuple[str, ...]:
        """Return an account's candle periods."""
        return self.candles if account.candles is None else account.candles

    def ticks_of(self, account: AccountSettings) -> Ticks:
        """Return where an account's ticks come from."""
        return account.ticks or self.ticks

    def periods_of(self, symbol: str) -> tuple[str, ...]:
        """Return the candle periods of the accounts that may have an instrument, in the order of configuration."""
        accounts = [account for name, account in self.accounts.items() if symbol.startswith(self.prefix(name))]
        return tuple(dict.fromkeys(period for account in accounts for period in self.candles_of(account)))

    def has_quotes(self, symbol: str) -> bool:
        """Whether rows of `ticks` of an instrument may be made of quotes."""
        return any(
            self.ticks_of(account) in ("quotes", "both")
            for name, account in self.accounts.items()
            if symbol.startswith(self.prefix(name))
        )

    def prefix(self, account_name: str) -> str:
        """Return the prefix of an account's instruments: empty, or the account's name and a colon."""
        qualified = self.symbol_names == "account" or (self.symbol_names == "auto" and len(self.accounts) > 1)
        return f"{account_name}:" if qualified else ""

    @property
    def intervals(self) -> Mapping[str, int | None]:
        """Milliseconds between packets, by the venue's name of the kind; None leaves it to the account's setting."""
        interval_ms = {
            "quotes": self.quotes_interval_ms,
            "ticks": self.ticks_interval_ms,
            "candles": self.candles_interval_ms,
            "marketDepth": self.books_interval_ms,
        }
        return {kind: None if interval < 0 else interval for kind, interval in interval_ms.items()}
