"""Parts of settings that venues have alike: addresses, lists that may come as text, names that have to be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

GraceSeconds = Annotated[
    float,
    Field(ge=0, le=3600, description="How long after a bar's end an update is awaited before the bar is closed."),
]


def address(*schemes: str, bare: bool = True, optional: bool = False) -> AfterValidator:
    """Demand an address of one of these schemes; `bare` ones lose a slash at the end, `optional` ones may be empty."""

    def check(value: str) -> str:
        parts = urlsplit(value)
        if (value or not optional) and (parts.scheme not in schemes or not parts.hostname):
            raise ValueError(f"{value!r} is not an address; write {schemes[0]}://host/path")
        return value.rstrip("/") if bare else value

    return AfterValidator(check)


RestUrl = Annotated[str, address("https", "http")]
SocketUrl = Annotated[str, address("wss", "ws")]


def listed(example: str) -> BeforeValidator:
    """Take a list that comes as text, as from the environment: names with commas between them, or JSON."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if text.startswith("[") and '"' in text:  # without a quote it is a pattern such as [AB]*
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"is not a list: {error}; write {example}") from error
        return [part.strip() for part in text.split(",") if part.strip()]

    return BeforeValidator(read)


def once(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return each value once, in their order."""
    return tuple(dict.fromkeys(values))


def known(what: str, names: Sequence[str]) -> AfterValidator:
    """Demand values that the venue has, and keep each once."""

    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value not in names:
                raise ValueError(f"{value!r} is not a {what} of this venue; it has {', '.join(names)}")
        return once(values)

    return AfterValidator(check)


class Recording(Protocol):
    """Settings that say what is recorded."""

    @property
    def streams(self) -> Sequence[str]: ...

    @property
    def symbols(self) -> Sequence[str]: ...

    @property
    def candles(self) -> Sequence[str]: ...


R = TypeVar("R", bound=Recording)


def something_to_record(*, has: Sequence[str], example: str) -> Any:
    """Return a validator for a class of settings, by `check_recorded`."""

    def check(settings: R) -> R:
        check_recorded(settings.streams, settings.symbols, settings.candles, has=has, example=example)
        return settings

    return model_validator(mode="after")(check)


def check_recorded(
    streams: Sequence[str], symbols: Sequence[str], candles: Sequence[str], *, has: Sequence[str], example: str
) -> None:
    """Raise ValueError where nothing, or candles of no period, would be recorded; rates alone need no symbols.

    `has` are the streams of the venue, and `example` is how symbols are written.
    """
    if not streams:
        raise ValueError("streams: empty, so nothing would be recorded; name some of " + ", ".join(has))
    if not symbols and set(streams) != {"rates"}:
        raise ValueError(f"symbols: none named; write for example symbols = {example}")
    if "candles" in streams and not candles:
        raise ValueError('candles: none named, yet streams has "candles"; name some, such as "1m"')
