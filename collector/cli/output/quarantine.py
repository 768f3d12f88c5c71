"""What `collector quarantine` prints for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table

from collector.cli.frame import place_facts, pointed, tell, tell_bytes
from collector.cli.output.screen import Screen

if TYPE_CHECKING:
    from collector.proof.parse_again import Outcome
    from collector.proof.place import Where
    from collector.store.quarantine import Group, Listed


def tell_list(rows: list[Listed], counts: dict[str, int]) -> None:
    """Print entries, and how many of them there are."""
    console = Screen()
    table = Table()
    for name in ("id", "received (UTC)", "venue", "stream", "kind", "items", "bytes", "state", "error"):
        table.add_column(name, justify="right" if name in ("id", "items", "bytes") else "left")
    for one in rows:
        table.add_row(
            str(one.quarantine_id),
            f"{one.received_at:%Y-%m-%d %H:%M:%S}",
            one.venue or "-",
            one.stream or "-",
            one.kind or "-",
            f"{one.items:,}",
            f"{one.bytes:,}",
            one.state,
            one.error[:200],
        )
    if rows:
        console.print(table)
    total = counts["total"]
    if not total:
        console.print("nothing that matches is in quarantine")
        return
    states = ", ".join(f"{counts[name]:,} {name}" for name in ("waiting", "resolved", "discarded") if counts[name])
    shown = f"; shown: {len(rows):,}" if len(rows) < total else ""
    console.print(f"{total:,} entr{'y' if total == 1 else 'ies'} with {counts['items']:,} items: {states}{shown}")


def tell_groups(groups: list[Group]) -> None:
    """Print errors with their numbers."""
    console = Screen()
    table = Table()
    for name in ("entries", "items", "venue", "stream", "kind", "first (UTC)", "last", "newest id", "error"):
        table.add_column(name, justify="right" if name in ("entries", "items", "newest id") else "left")
    for one in groups:
        table.add_row(
            f"{one.entries:,}",
            f"{one.items:,}",
            one.venue or "-",
            one.stream or "-",
            one.kind or "-",
            f"{one.first:%Y-%m-%d %H:%M:%S}",
            f"{one.last:%Y-%m-%d %H:%M:%S}",
            str(one.newest),
            one.error[:200],
        )
    console.print(table if groups else "nothing that matches is in quarantine")


def tell_entry(entry: Listed, payload: bytes, place: Where | None, *, whole: bool) -> None:
    """Print one entry with everything that is known of it."""
    console = Screen()
    facts = {
        "entry": f"{entry.quarantine_id}, {entry.state}",
        "error": entry.error,
        "of": f"{entry.venue or 'no known venue'}, {entry.stream or 'no known stream'}, "
        f"{entry.items} item{'' if entry.items == 1 else 's'}",
        "received": f"{entry.received_at:%Y-%m-%d %H:%M:%S.%f} UTC",
    }
    if entry.resolved_at:
        facts["resolved"] = f"{entry.resolved_at:%Y-%m-%d %H:%M:%S} UTC"
    if entry.discarded_reason:
        facts["discarded"] = entry.discarded_reason
    if place is not None:
        facts |= place_facts(place)
    else:
        facts["frame"] = "the journal no longer holds it" if entry.kind != "row" else "a row that was made of one"
    tell(console, facts)
    for line in pointed(payload, entry.error):
        console.print("    " + line, soft_wrap=True, style="yellow")
    tell_bytes(console, payload, whole=whole)


def tell_outcomes(outcomes: list[Outcome], *, dry: bool) -> None:
    """Print what became of entries: sums, and each one that still waits with its error."""
    console = Screen()
    if not outcomes:
        console.print("nothing that matches is waiting in quarantine")
        return
    rows: Counter[str] = Counter()
    for one in outcomes:
        rows.update(one.rows)
    results = Counter(one.result for one in outcomes)
    would = "would be " if dry else ""
    if results["stored"]:
        held = ", ".join(f"{count:,} {name}" for name, count in sorted(rows.items())) or "no rows"
        new = "" if dry else f", {sum(one.new or 0 for one in outcomes):,} of them new"
        console.print(f"{results['stored']:,} {would}resolved: {held}{new}")
    if results["settled"]:
        console.print(f"{results['settled']:,} were stored or discarded by another command in the meantime")
    for name, what in (("fails", "still not understood"), ("impossible", "cannot be parsed again")):
        if results[name]:
            console.print(f"{results[name]:,} {what}:", style="red")
            errors = Counter(one.error for one in outcomes if one.result == name)
            for error, count in errors.most_common(20):
                first = next(one.quarantine_id for one in outcomes if one.error == error and one.result == name)
                console.print(f"    {count:,} x {error} (such as {first})", soft_wrap=True)
