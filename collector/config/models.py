"""The settings: what there is, what it is by default and what is accepted.

The sample configuration, the texts of faults and the environment variables all follow from these classes. A venue's
section is not described here but by the venue's adapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from platformdirs import user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SerializeAsAny,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from collector import venues as adapters
from collector.durations import format_duration, parse_duration
from collector.errors import Fault
from collector.store.dsn_options import understand
from collector.venues.adapter import Venue, VenueSettings

UNLIMITED = "unlimited"
NEVER = "never"


class Section(BaseModel):
    """One table of the file. `old_keys` has today's names of keys that had other ones in the last release."""

    old_keys: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _unlimited(value: Any) -> Any:
    return None if value == UNLIMITED else value


Limit = BeforeValidator(_unlimited)


class Database(Section):
    """Where the tables are."""

    dsn: SecretStr | None = Field(
        None,
        description="The TimescaleDB or PostgreSQL to write to, such as postgresql://user:password@host:5432/market. "
        "If left out, an embedded server in data_dir is used (see `collector database install`).",
    )
    migrate: bool = Field(
        True, description="Bring the tables up to date at start; with false, only `collector migrate` does it."
    )

    @field_validator("dsn")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        # The reader of this text must not learn the value from it: it holds a password.
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("is not a database's address; write postgresql://user:password@host:port/database")
        if value is not None and (refused := understand(value.get_secret_value()).refused):
            raise ValueError(f"asks for {', '.join(refused)}, which this program cannot keep; leave it out")
        return value


def _endpoint(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{value!r} is not an address and a port; write 127.0.0.1:8080, or [::1]:8080")
    return (host[1:-1] if bracketed else host), int(port)


def _listened(value: str) -> str:
    _endpoint(value)
    return value


class Http(Section):
    """Health, metrics and the status page."""

    listen: Annotated[str, AfterValidator(_listened)] = Field(
        "127.0.0.1:8080",
        description="Address and port of the status page; port 0 lets the system choose. There is no "
        "password: for access from "
        "other machines, use a proxy that asks for one.",
    )

    @property
    def host(self) -> str:
        return _endpoint(self.listen)[0]

    @property
    def port(self) -> int:
        return _endpoint(self.listen)[1]

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Journal(Section):
    """What is kept of the frames as received."""

    segment_mb: int = Field(64, ge=1, le=1024, description="A segment file is closed at this size, in MiB,")
    segment_minutes: float = Field(60, gt=0, le=10_080, description="or at this age.")
    write_ms: float = Field(
        20,
        gt=0,
        le=1000,
        description="Frames are written to the file after at most this time, and then survive the end of the process.",
    )
    sync_ms: float = Field(
        100,
        gt=0,
        le=60_000,
        description="Frames are synced to the disk after at most this time, and then survive a power cut.",
    )
    buffer_mb: int = Field(
        32,
        ge=1,
        le=4096,
        description="Reading from the venues pauses when this much waits in memory for the disk, in MiB.",
    )
    keep_days: Annotated[Annotated[float, Field(gt=0)] | None, Limit] = Field(
        7,
        description=f'Segments whose rows are committed are deleted after this many days; "{UNLIMITED}" keeps them.',
    )
    keep_gb: Annotated[Annotated[float, Field(gt=0)] | None, Limit] = Field(
        20,
        description=f'The oldest committed segments are deleted beyond this size, in GiB; "{UNLIMITED}" sets no limit.',
    )
    keep_least_gb: float = Field(
        0,
        ge=0,
        description="The newest segments of this size, in GiB, are kept even if the disk is full. With 0, "
        "all committed "
        "segments may be deleted before recording has to pause.",
    )
    max_gb: Annotated[Annotated[float, Field(gt=0)] | None, Limit] = Field(
        None,
        description="Recording pauses at this size, in GiB: the venues are disconnected, and what they send becomes "
        "gaps. Committed segments are deleted first; while the database is away, no segment is committed. "
        f'"{UNLIMITED}" sets no limit.',
    )
    min_free_gb: float = Field(
        1,
        ge=0,
        description="Recording pauses also while less than this is free on the disk, in GiB; 0 uses the disk up.",
    )
    compress: bool = Field(True, description="Compress closed segments (zstd).")
    level: int = Field(3, ge=1, le=19, description="How hard to compress: 1 fast, 19 small.")

    @model_validator(mode="after")
    def _least_is_least(self) -> Self:
        for name in ("keep_gb", "max_gb"):
            most = getattr(self, name)
            if most is not None and self.keep_least_gb > most:
                raise ValueError(f"keep_least_gb: {self.keep_least_gb:g} is more than {name} ({most:g}) lets be kept")
        return self

    @model_validator(mode="after")
    def _room_for_some(self) -> Self:
        least = 4 * self.segment_mb / 1024
        if self.max_gb is not None and self.max_gb < least:
            raise ValueError(
                f"max_gb: {self.max_gb:g} is less than four segments of journal.segment_mb; "
                f"write {least:g} or more, or make segments smaller"
            )
        return self


class Writer(Section):
    """How rows go to the database."""

    batch_rows: int = Field(5000, ge=1, le=50_000, description="Rows are committed when this many wait,")
    flush_ms: float = Field(100, ge=1, le=60_000, description="or when the first of them has waited for this time.")
    queue_mb: int = Field(
        8,
        ge=1,
        le=1024,
        description="Rows that wait beyond this size, in MiB, are not kept in memory: they are read from "
        "the journal later.",
    )


class Repair(Section):
    """How gaps are filled from the venues' history."""

    enabled: bool = Field(True, description="Fetch what was missed as soon as a venue is connected again.")
    max_age_days: Annotated[Annotated[float, Field(gt=0)] | None, Limit] = Field(
        7,
        description="Gaps that ended longer ago than this stay open until `collector backfill` fetches them; "
        f'"{UNLIMITED}" repairs all.',
    )
    rate_share: float = Field(
        0.9, gt=0, le=1, description="The largest part of a venue's REST rate that repairs may use."
    )


class Audit(Section):
    """Adding up the trades of each minute against the venue's candle."""

    enabled: bool = Field(True, description="Audit every minute soon after it is over.")
    delay_seconds: float = Field(
        15,
        ge=1,
        le=3600,
        description="How long after the end of a minute: candles must be closed and late trades received by then.",
    )
    catch_up_hours: float = Field(
        24,
        gt=0,
        le=8760,
        description="After a stop, minutes older than this are not audited; `collector audit` does it.",
    )
    fetch_candles: bool = Field(
        True, description="Fetch the venue's one-minute candles where trades are recorded without them."
    )
    fetch_per_minute: float = Field(
        30, gt=0, le=600, description="At most this many calls a minute to each venue for them."
    )


def _span(value: Any) -> Any:
    if value is None or isinstance(value, timedelta) or value in (UNLIMITED, NEVER):
        return value if isinstance(value, timedelta) else None
    span = parse_duration(value) if isinstance(value, str) else None
    if not span:
        raise ValueError(f'{value!r} is not a length of time; write "12h", "90d" or "8w"')
    return span


class Kept(Section):
    """How long one table keeps what it has, and when that is compressed."""

    compress_after: Annotated[timedelta | None, BeforeValidator(_span)] = Field(
        None,
        description="Rows are compressed at this age. Only TimescaleDB's Community edition can do that. "
        f'"7d", "12h"; "{NEVER}" switches it off.',
    )
    keep: Annotated[timedelta | None, BeforeValidator(_span)] = Field(
        None, description=f'Rows are deleted at this age, after repairs are done; "{UNLIMITED}" keeps them.'
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.keep is not None and self.keep < timedelta(days=1):
            raise ValueError(f"keep: {format_duration(self.keep)} is too short; a day or more")
        if self.keep is not None and self.compress_after is not None and self.compress_after >= self.keep:
            sooner, later = format_duration(self.compress_after), format_duration(self.keep)
            raise ValueError(
                f"compress_after: {sooner} is not before keep ({later}); write less than {later}, or leave it out"
            )
        return self


class Storage(Section):
    """How long the tables keep what they have."""

    keep_backfills: bool = Field(
        True, description="Never delete what `collector backfill` fetched when it was already older than keep."
    )
    trades: Kept = Kept()
    ticks: Kept = Kept()
    books: Kept = Kept()
    candles: Kept = Kept()
    derivatives: Kept = Kept()
    rates: Kept = Kept()
    news: Kept = Kept()

    @property
    def tables(self) -> dict[str, Kept]:
        """The tables of facts by name."""
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), Kept)}

    def faults(self, repair: Repair) -> Iterator[Fault]:
        """Find what would get into the way of repairs, which write into the past."""
        if not repair.enabled:
            return
        for name, kept in self.tables.items():
            for key, span in (("compress_after", kept.compress_after), ("keep", kept.keep)):
                if span is None:
                    continue
                if repair.max_age_days is None:
                    yield Fault(
                        f"storage.{name}.{key}",
                        f"{format_duration(span)} is too short: repairs have no age limit",
                        "set repair.max_age_days to less than it",
                    )
                elif span <= timedelta(days=repair.max_age_days):
                    yield Fault(
                        f"storage.{name}.{key}",
                        f"{format_duration(span)} is too short: gaps are repaired up to a greater age",
                        f"write more than repair.max_age_days ({repair.max_age_days:g} days), or lower "
                        "repair.max_age_days",
                    )


class Log(Section):
    """What is told on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error.")
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="console for people, json for machines; auto: console on a terminal, else json."
    )


class _Named(NamedTuple):
    name: str
    section: Any


class VenueConfig(Section):
    """A venue under its configured name: the adapter that speaks its protocol and that adapter's settings."""

    name: str
    adapter: str
    settings: SerializeAsAny[VenueSettings]

    @property
    def enabled(self) -> bool:
        return self.settings.enabled

    def begin(self) -> Venue[Any]:
        """Return the venue itself, for those who want to speak with it."""
        return adapters.find(self.adapter).begin(self.name, self.settings)

    @model_validator(mode="wrap")
    @classmethod
    def _as_its_adapter_wants(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Self:
        if not isinstance(value, _Named):
            whole: Self = handler(value)
            return whole
        name, section = value
        if not isinstance(section, dict):
            raise ValueError(f"is not a table; write [venues.{name}] and the settings below it")  # noqa: TRY004  pydantic collects ValueErrors
        adapter = section.get("adapter", name)
        known = adapters.names()
        if adapter not in known:
            raise ValueError(f"there is no adapter {adapter!r}; name one with adapter = .. out of {', '.join(known)}")
        try:
            kind = adapters.find(adapter)
        except adapters.UnusableAdapterError as error:
            raise ValueError(str(error)) from error
        settings = kind.settings.model_validate(section)
        made: Self = handler({"name": name, "adapter": adapter, "settings": settings})
        return made


class Config(BaseSettings):
    """All settings. `collector.config.load` reads them; built directly, it takes what it is given and nothing else."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("collector"),
        description="The folder for the journal and the embedded database. If left out: the service's "
        "state folder under "
        "systemd, otherwise a folder of the user.",
    )
    database: Database = Database()
    http: Http = Http()
    journal: Journal = Journal()
    writer: Writer = Writer()
    repair: Repair = Repair()
    storage: Storage = Storage()
    audit: Audit = Audit()
    log: Log = Log()
    venues: dict[str, VenueConfig] = Field(default_factory=dict)

    _source: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _origin: str = PrivateAttr(default="built-in defaults")
    _secret_files: Mapping[Path, tuple[str, ...]] = PrivateAttr(default_factory=dict)
    _renamed: tuple[str, ...] = PrivateAttr(default=())

    @property
    def source(self) -> Mapping[str, str]:
        """Dotted key to where its value came from: a file, an environment variable; defaults are not listed."""
        return self._source

    @property
    def origin(self) -> str:
        """One line for people: what was read."""
        return self._origin

    @property
    def secret_files(self) -> Mapping[Path, tuple[str, ...]]:
        """Files that hold secrets, with their dotted keys; not those that systemd and docker keep."""
        return self._secret_files

    @property
    def renamed(self) -> tuple[str, ...]:
        """For each key that was set by its old name: a sentence that names the new one."""
        return self._renamed

    @field_validator("data_dir", mode="after")
    @classmethod
    def _whole_path(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("venues", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {n: one if isinstance(one, VenueConfig) else _Named(n, one) for n, one in value.items()}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the caller's back."""
        return (init_settings,)
