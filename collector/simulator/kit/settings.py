"""A venue's own switches, from what it is started with."""

from typing import Any, TypeVar

from collector.simulator.options import Options

S = TypeVar("S")


def settings_of(kind: type[S], venue: str, options: Options) -> S:
    """Make the venue's settings, a dataclass; ValueError names what it has no switch for."""
    fields: dict[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    if unknown := sorted(set(options.settings) - set(fields)):
        raise ValueError(f"no such settings of the {venue} simulator: {', '.join(unknown)}; it has {', '.join(fields)}")
    return kind(**dict(options.settings))
