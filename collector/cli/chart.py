"""`collector chart`: a picture of a market."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from collector.cli.output.screen import say
from collector.cli.parameters.times import ordered
from collector.cli.parameters.vocabulary import Since, Until
from collector.cli.shared import ConfigFile, read_config

if TYPE_CHECKING:
    from datetime import datetime

    from collector.config import Config
    from collector.data.picture import Picture

EXAMPLES = """
Examples:

    collector chart fmfw BTCUSDT

    collector chart fmfw BTCUSDT --from 2026-11-20 --to 2026-11-21 --period 15m --out btc.svg

    collector chart finam SBER@MISX --style dark --out sber.png
"""


def add_to(app: typer.Typer) -> None:
    app.command("chart", epilog=EXAMPLES)(chart)


def chart(
    venue: Annotated[str, typer.Argument(metavar="VENUE", help="A venue that was recorded.")],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The venue's own spelling.")],
    since: Since = None,
    until: Until = None,
    period: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="Length of a bar: 30s, 5m, 1h, 1d, .. (default: one that fits)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .png or .svg. (default: VENUE-SYMBOL.png)")
    ] = None,
    style: Annotated[str, typer.Option(metavar="NAME", help="light or dark.")] = "light",
    config: ConfigFile = None,
) -> None:
    """Draw candles, volume and spread, and shade the times that were not recorded.

    Without --from and --to, the day before the last trade is drawn.
    """
    from collector.cli.parameters.names import one_of, usage
    from collector.cli.running import run
    from collector.data.chart import FORMATS, draw
    from collector.data.extras import extra
    from collector.data.palette import STYLES

    path = out or Path(f"{venue}-{quote(symbol, safe='')}.png")
    if path.suffix not in FORMATS:
        raise typer.BadParameter(f"{path} ends with none of {', '.join(FORMATS)}", param_hint="--out")
    one_of("style", style, STYLES, "--style")
    span = ordered(since, until)
    _check(period)
    extra("matplotlib", "charts")
    with usage(venue="VENUE", symbol="SYMBOL"):
        picture = run(_ask(read_config(config), venue, symbol, span, period))
    draw(picture, path, style=style)
    say(f"{path}: {picture.bars.num_rows:,} {picture.kind} of {picture.period}")


def _check(period: str | None) -> None:
    from collector.data.errors import QueryError
    from collector.data.questions import interval

    try:
        if period is not None:
            interval(period)
    except QueryError as error:
        raise typer.BadParameter(str(error), param_hint="--period") from None


async def _ask(
    config: Config, venue: str, symbol: str, span: tuple[datetime | None, datetime | None], period: str | None
) -> Picture:
    from collector.attach import attached
    from collector.data.picture import ask
    from collector.proof.known import check_instrument

    async with attached(config) as dsn:
        await check_instrument(config, dsn, venue, symbol)
        return await ask(dsn, venue, symbol, *span, period)
