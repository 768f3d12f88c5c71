"""A picture of a market: candles, volume, spread, and what was not recorded. Drawn by matplotlib, without a display."""

from __future__ import annotations

__all__ = ["FORMATS", "draw"]

import math
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.data.errors import DataError
from collector.data.extras import extra
from collector.data.palette import STYLES, Palette
from collector.data.picture import Picture, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")

SIZE_INCHES, DOTS_PER_INCH = (11.0, 6.2), 130
# The width of a candle's body as a share of its period; the rest is space between two.
CANDLE_BODY_SHARE = 0.68

_DAY_SECONDS = 86_400.0
_SHADE_ALPHAS = {"lost": 0.20, "missing": 0.22, "repaired": 0.16}
_LEGENDS = {"lost": "not recorded", "missing": "not recorded yet: repair due", "repaired": "got back from the venue"}


def draw(picture: Picture, path: Path, *, style: str = "light") -> None:
    """Draw a picture to `path`, a PNG or an SVG by its name, in one of the `STYLES`.

    Raises `ExtraMissingError` without matplotlib, and `DataError` where the file cannot be written.
    """
    matplotlib = extra("matplotlib", "charts")
    colours = STYLES[style]
    settings = {
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "svg.hashsalt": "collector",
        "axes.linewidth": 0.8,
        "axes.edgecolor": colours.grid,
        "axes.labelcolor": colours.faint,
        "xtick.color": colours.faint,
        "ytick.color": colours.faint,
        "text.color": colours.ink,
        "axes.facecolor": colours.ground,
        "figure.facecolor": colours.ground,
        "savefig.facecolor": colours.ground,
    }
    with matplotlib.rc_context(settings):
        figure = _figure(picture, colours)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # No time and no version inside: the same picture is the same file.
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=DOTS_PER_INCH, metadata=metadata)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error


def _figure(picture: Picture, colours: Palette) -> Figure:
    figure_module = extra("matplotlib.figure", "charts")
    sized = any(picture.bars["volume"].to_pylist())
    quoted = picture.spread.num_rows > 0
    heights = [3.6] + [1.0] * (sized + quoted)
    figure: Figure = figure_module.Figure(figsize=SIZE_INCHES)
    rows = figure.subplots(
        len(heights),
        1,
        sharex=True,
        squeeze=False,
        gridspec_kw={
            "height_ratios": heights,
            "hspace": 0.06,
            "left": 0.03,
            "right": 0.91,
            "top": 0.885,
            "bottom": 0.075,
        },
    )
    panels: list[Axes] = [row[0] for row in rows]
    _candles(panels[0], picture, colours)
    _shade(panels[0], picture.gaps_of_trades, colours)
    if sized:
        _volume(panels[1], picture, colours)
        _shade(panels[1], picture.gaps_of_trades, colours)
    if quoted:
        _spread(panels[-1], picture, colours)
        _shade(panels[-1], picture.gaps_of_ticks, colours)
    for panel in panels:
        _dress(panel, colours)
    _time_axis(panels[-1], picture, colours)
    shaded = picture.gaps_of_trades + (picture.gaps_of_ticks if quoted else ())
    _headline(figure, picture, colours, {one.state for one in shaded})
    return figure


def _times(values: Any) -> list[float]:
    """Times as matplotlib counts them: days since 1970."""
    return [one.timestamp() / _DAY_SECONDS for one in values.to_pylist()]


def _candles(panel: Axes, picture: Picture, colours: Palette) -> None:
    collections = extra("matplotlib.collections", "charts")
    bars = picture.bars
    width = picture.period_seconds / _DAY_SECONDS
    wicks, bodies, tints = [], [], []
    columns = (bars[name].to_pylist() for name in ("open", "high", "low", "close"))
    lowest = min(bars["low"].to_pylist())
    highest = max(bars["high"].to_pylist())
    thin = (highest - lowest or abs(highest) or 1.0) * 0.0015  # a body that has no height is a line
    for left, opened, high, low, closed in zip(_times(bars["time"]), *columns, strict=True):
        middle, half = left + width / 2, width * CANDLE_BODY_SHARE / 2
        wicks.append([(middle, low), (middle, high)])
        bottom, top = sorted((opened, closed))
        if top - bottom < thin:
            bottom, top = (bottom + top - thin) / 2, (bottom + top + thin) / 2
        bodies.append([(middle - half, bottom), (middle + half, bottom), (middle + half, top), (middle - half, top)])
        tints.append(colours.rising if closed >= opened else colours.falling)
    panel.add_collection(collections.LineCollection(wicks, colors=tints, linewidths=0.9, zorder=3))
    panel.add_collection(collections.PolyCollection(bodies, facecolors=tints, edgecolors="none", zorder=4))
    room = (highest - lowest or abs(highest) * 0.01 or 1.0) * 0.06
    panel.set_ylim(lowest - room, highest + room)
    panel.yaxis.set_major_formatter(_digits(picture.decimals))
    last = bars["close"].to_pylist()[-1]
    panel.axhline(last, color=tints[-1], linewidth=0.8, linestyle=(0, (2, 2)), alpha=0.8, zorder=2)
    panel.annotate(
        f"{last:,.{picture.decimals}f}",
        (1.0, last),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        ha="left",
        fontsize=8.5,
        fontweight="bold",
        color=colours.ground,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": tints[-1], "edgecolor": "none"},
        zorder=6,
        annotation_clip=False,
    )


def _volume(panel: Axes, picture: Picture, colours: Palette) -> None:
    bars = picture.bars
    width = picture.period_seconds / _DAY_SECONDS
    sizes = [size or 0.0 for size in bars["volume"].to_pylist()]
    ends = zip(bars["open"].to_pylist(), bars["close"].to_pylist(), strict=True)
    panel.bar(
        [left + width / 2 for left in _times(bars["time"])],
        sizes,
        width * CANDLE_BODY_SHARE,
        color=[colours.rising if closed >= opened else colours.falling for opened, closed in ends],
        alpha=0.75,
        zorder=3,
    )
    panel.set_ylim(0, max(sizes) * 1.2)
    panel.yaxis.set_major_formatter(extra("matplotlib.ticker", "charts").FuncFormatter(_size))
    _name(panel, "volume", colours)


def _spread(panel: Axes, picture: Picture, colours: Palette) -> None:
    times = _times(picture.spread["time"])
    # A quote of before a gap says nothing of the time in it.
    spread = [
        math.nan if gap or one is None else one
        for one, gap in zip(picture.spread["spread"].to_pylist(), picture.spread["gap"].to_pylist(), strict=True)
    ]
    panel.step(times, spread, where="post", color=colours.spread, linewidth=1.0, zorder=4)
    panel.fill_between(times, spread, 0, step="post", color=colours.spread, alpha=0.15, linewidth=0, zorder=3)
    # A few wide moments would press all others flat.
    ordered = sorted(one for one in spread if not math.isnan(one))
    usual = ordered[int(len(ordered) * 0.995)] if ordered else 1.0
    panel.set_ylim(min(0.0, ordered[0] if ordered else 0.0), (usual or 1.0) * 1.25)
    panel.yaxis.set_major_formatter(_digits(picture.decimals))
    _name(panel, f"spread, {picture.quote}" if picture.quote else "spread", colours)


def _shade(panel: Axes, spans: Sequence[Span], colours: Palette) -> None:
    for one in spans:
        start, end = one.start.timestamp() / _DAY_SECONDS, one.end.timestamp() / _DAY_SECONDS
        colour = getattr(colours, one.state)
        # The line keeps a gap visible that is narrower than a dot.
        panel.axvspan(start, end, facecolor=colour, alpha=_SHADE_ALPHAS[one.state], edgecolor="none", zorder=1)
        panel.axvline(start, color=colour, linewidth=0.8, alpha=0.6, zorder=1)


def _dress(panel: Axes, colours: Palette) -> None:
    panel.grid(visible=True, color=colours.grid, linewidth=0.7, zorder=0)
    panel.set_axisbelow(True)
    panel.yaxis.tick_right()
    panel.tick_params(length=0, pad=5, labelsize=8.5)
    for side in ("left", "top", "right"):
        panel.spines[side].set_visible(False)
    panel.yaxis.set_major_locator(
        extra("matplotlib.ticker", "charts").MaxNLocator(
            nbins=max(3, round(panel.get_position().height * 11)), steps=[1, 2, 2.5, 5, 10], prune="lower"
        )
    )


def _time_axis(panel: Axes, picture: Picture, colours: Palette) -> None:
    dates = extra("matplotlib.dates", "charts")
    start, end = (one.timestamp() / _DAY_SECONDS for one in (picture.start, picture.end))
    margin = (end - start) * 0.004
    panel.set_xlim(min(start, _times(picture.bars["time"])[0]) - margin, end + margin)
    locator = dates.AutoDateLocator(tz=UTC, minticks=5, maxticks=11)
    panel.xaxis.set_major_locator(locator)
    seconds = "%H:%M:%S"
    panel.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(
            locator,
            tz=UTC,
            show_offset=False,
            formats=["%Y", "%b", "%d", "%H:%M", "%H:%M", seconds],
            zero_formats=["", "%Y", "%b", "%b %d", "%H:%M", seconds],
        )
    )
    panel.annotate(
        "UTC",
        (1.0, 0),
        xycoords="axes fraction",
        xytext=(36, -5),
        textcoords="offset points",
        va="top",
        ha="left",
        fontsize=8.5,
        color=colours.faint,
        annotation_clip=False,
    )


def _headline(figure: Figure, picture: Picture, colours: Palette, states: set[str]) -> None:
    patches = extra("matplotlib.patches", "charts")
    name = picture.name.partition("~")[0]  # what follows a tilde is the symbol again
    figure.text(0.03, 0.955, name, fontsize=15, fontweight="bold", va="center", color=colours.ink)
    what = "bars" if picture.kind == "bars" else "candles of the venue"
    told = f"{picture.symbol} at {picture.venue}   {picture.period} {what}   {_span(picture)} UTC"
    figure.text(0.045 + _text_width(figure, name), 0.952, told, fontsize=9.5, va="center", color=colours.faint)
    handles = [
        patches.Patch(facecolor=getattr(colours, state), alpha=_SHADE_ALPHAS[state] + 0.2, label=_LEGENDS[state])
        for state in _SHADE_ALPHAS
        if state in states
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="center right",
            bbox_to_anchor=(0.915, 0.91),
            ncols=len(handles),
            frameon=False,
            fontsize=8.5,
            labelcolor=colours.faint,
            handlelength=1.2,
            handleheight=1.0,
            columnspacing=1.2,
        )


def _span(picture: Picture) -> str:
    start, end = picture.start.astimezone(UTC), picture.end.astimezone(UTC)
    clock = "%H:%M:%S" if (end - start).total_seconds() < 600 else "%H:%M"
    return f"{start:%Y-%m-%d {clock}} to {end.strftime(clock if start.date() == end.date() else f'%Y-%m-%d {clock}')}"


def _text_width(figure: Figure, text: str) -> float:
    """How wide the headline's name is, as a share of the figure."""
    textpath = extra("matplotlib.textpath", "charts")
    font = extra("matplotlib.font_manager", "charts").FontProperties(size=15, weight="bold")
    width: float = textpath.TextPath((0, 0), text, prop=font).get_extents().width
    return width / 72 / float(figure.get_size_inches()[0])


def _name(panel: Axes, text: str, colours: Palette) -> None:
    panel.text(
        0.004,
        0.93,
        text,
        transform=panel.transAxes,
        va="top",
        ha="left",
        fontsize=8.5,
        color=colours.faint,
        zorder=6,
        bbox={"boxstyle": "square,pad=0.15", "facecolor": colours.ground, "edgecolor": "none", "alpha": 0.7},
    )


def _size(value: float, _place: int) -> str:
    for bound, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= bound:
            return f"{value / (1e3 if letter == 'k' else bound):,.4g}{letter}"
    return f"{value:,.4g}"


def _digits(decimals: int) -> Any:
    """Prices with the digits of the tick size, and more only where the axis needs them."""
    ticker = extra("matplotlib.ticker", "charts")
    return ticker.FuncFormatter(lambda value, _place: f"{value:,.{decimals}f}")
