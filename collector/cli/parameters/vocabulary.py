"""The options that several commands have: each has one name, one meaning and one parser, and is described here."""

from __future__ import annotations

__all__ = ["Again", "DryRun", "Limit", "Rate", "Seed", "Since", "Streams", "Symbols", "Until", "Venues", "Whole"]

from datetime import datetime
from typing import Annotated

import typer

from collector.cli.parameters.times import moment

Venues = Annotated[
    list[str] | None,
    typer.Option("--venue", metavar="NAME", help="Only this venue; may be repeated. (default: all)"),
]
Symbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        metavar="PATTERN",
        help="Only these symbols, * and ? as in file names; may be repeated. (default: all)",
    ),
]
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="NAME", help="Only this stream, such as trades; may be repeated. (default: all)"),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        metavar="TIME",
        parser=moment,
        help="From this time on: 2026-11-01, 2026-11-01T09:30 (UTC), '2h ago', yesterday, now.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option("--to", metavar="TIME", parser=moment, help="Up to this time, written in the same ways."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show the newest N at most.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and change nothing.")]
Again = Annotated[bool, typer.Option("--again", help="Do again what was done before.")]
Whole = Annotated[bool, typer.Option("--whole", help="Print all of a long frame.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")]
Rate = Annotated[float, typer.Option("--rate", min=0, help="Market events a second at each venue.")]
