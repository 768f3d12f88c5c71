"""The header of a session: what opens it in the journal, and all that its parser is made from.

As JSON it is flat: what is every venue's stands beside what only the parser of this one knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_OURS: Final = ("venue", "adapter", "worker", "url", "symbols", "subscriptions")


class HeaderError(ValueError):
    """A header that cannot be used; the text names the key."""


class Covered(NamedTuple):
    """Symbols that a session is to receive on a channel, and the stream that their records belong to."""

    channel: str
    stream: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """What a session is of.

    `venue` is the configured name and `adapter` the protocol's; `worker` and `url` say whose line it was. `symbols` are
    those that it may bring; None where any may come. `own` is what the adapter's parser needs beside: values of JSON.

    Raises:
        HeaderError: a key is missing or of another type, or `own` holds a key that every header has.

    """

    venue: str
    adapter: str
    symbols: tuple[str, ...] | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    worker: str = ""
    url: str = ""
    subscriptions: tuple[Covered, ...] = ()

    def __post_init__(self) -> None:
        for name in ("venue", "adapter", "worker", "url"):
            if not isinstance(getattr(self, name), str):
                raise HeaderError(f"{name}: a text is needed, not {getattr(self, name)!r}")
        for name in ("venue", "adapter"):
            if not getattr(self, name):
                raise HeaderError(f"{name}: is empty")
        if taken := [name for name in _OURS if name in self.own]:
            raise HeaderError(f"{taken[0]}: is every header's, and no parser's own")

    def to_json(self) -> dict[str, Any]:
        """Return it as the journal holds it."""
        return {
            "venue": self.venue,
            "adapter": self.adapter,
            "worker": self.worker,
            "url": self.url,
            "symbols": None if self.symbols is None else list(self.symbols),
            "subscriptions": [[channel, stream, list(symbols)] for channel, stream, symbols in self.subscriptions],
            **self.own,
        }

    @classmethod
    def from_json(cls, told: Any) -> SessionHeader:
        """Read what `to_json`, now or of an earlier version, has made."""
        if not isinstance(told, Mapping):
            raise HeaderError(f"an object is needed, not {type(told).__name__}")
        for name in ("venue", "adapter"):
            if name not in told:
                raise HeaderError(f"{name}: is missing")
        return cls(
            venue=told["venue"],
            adapter=told["adapter"],
            symbols=_symbols(told.get("symbols")),
            own={name: value for name, value in told.items() if name not in _OURS},
            worker=told.get("worker", ""),
            url=told.get("url", ""),
            subscriptions=_subscriptions(told.get("subscriptions", ())),
        )


def _symbols(told: Any) -> tuple[str, ...] | None:
    if told is None:
        return None
    if not isinstance(told, list | tuple) or not all(isinstance(symbol, str) for symbol in told):
        raise HeaderError(f"symbols: a list of texts is needed, not {told!r:.100}")
    return tuple(told)


def _subscriptions(told: Any) -> tuple[Covered, ...]:
    try:
        return tuple(Covered(str(channel), str(stream), tuple(symbols)) for channel, stream, symbols in told)
    except (TypeError, ValueError) as error:
        raise HeaderError(f"subscriptions: {error}") from error
