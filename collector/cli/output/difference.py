"""What `collector replay --diff` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from collector.cli.output.screen import Screen

if TYPE_CHECKING:
    from collector.proof.difference import Compared
    from collector.store.shadow import Example

# Longer values are cut in a table; `--json` has them whole.
VALUE_MAX_CHARACTERS = 60


def as_object(compared: Compared) -> dict[str, Any]:
    """Return a comparison as JSON has it."""
    done = compared.replayed
    return {
        "proved": compared.proved,
        "equal": compared.equal,
        "frames": done.frames,
        "bytes": done.bytes,
        "damages": done.damages,
        "received": compared.received,
        "quarantined": compared.quarantined,
        "notes": compared.notes,
        "tables": {
            name: {
                "rows": one.rows,
                "missing": one.missing,
                "extra": one.extra,
                "differs": one.differs,
                "columns": one.columns,
                "examples": [example._asdict() for example in one.examples],
            }
            for name, one in compared.tables.items()
        },
    }


def tell(compared: Compared, backfills_left_out: int) -> None:
    """Print a comparison."""
    console = Screen()
    done = compared.replayed
    if compared.received is None:
        console.print("the journal holds nothing to compare, so nothing is proved", style="bold red")
        return
    first, last = compared.received
    table = Table(
        title=f"{done.frames:,} frames, received {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC",
        title_justify="left",
    )
    table.add_column("table")
    for name in ("replayed", "missing", "extra", "differ"):
        table.add_column(name, justify="right")
    for name, one in compared.tables.items():
        if one.rows or not one.equal:
            table.add_row(name, *(f"{count:,}" for count in (one.rows, one.missing, one.extra, one.differs)))
    console.print(table)
    for name, one in compared.tables.items():
        if one.columns:
            told = ", ".join(f"{column} in {count:,}" for column, count in one.columns.items())
            console.print(f"{name} differ: {told}", soft_wrap=True)
        for example in one.examples:
            console.print(f"{name} {_example(example)}", soft_wrap=True)
    for error, items in compared.quarantined.items():
        console.print(f"not understood: {items:,} x {error}", soft_wrap=True)
    for note in compared.notes:
        console.print(note, soft_wrap=True)
    for damage in done.damages:
        console.print(f"not readable: {damage}", style="red", soft_wrap=True)
    if compared.proved:
        console.print("The tables hold exactly what the journal gives, digit by digit.")
    elif compared.equal:
        told = "neither the journal nor a table holds a row that matches, so nothing is proved"
        console.print(told, style="bold red", soft_wrap=True)
    elif backfills_left_out:
        console.print(
            f"{backfills_left_out:,} journals of backfills were not read, so their rows count as extra; "
            "--backfills reads them",
            soft_wrap=True,
        )


def _example(one: Example) -> str:
    head = f"{one.kind}: {one.venue} {one.symbol} {one.time:%Y-%m-%d %H:%M:%S.%f}"
    if one.live is None or one.replayed is None:
        row = one.live or one.replayed or {}
        return f"{head}, " + ", ".join(f"{name} {_short(value)}" for name, value in row.items() if name != "time")
    return f"{head}, " + ", ".join(
        f"{name} {_short(value)} -> {_short(one.replayed.get(name))}"
        for name, value in one.live.items()
        if value != one.replayed.get(name)
    )


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= VALUE_MAX_CHARACTERS else text[: VALUE_MAX_CHARACTERS - 3] + "..."
