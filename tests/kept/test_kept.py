"""Journals that earlier versions wrote give the rows that those versions made of them, whatever is rebuilt since.

`make.py` tells how one is made. `rows.json` beside it holds, by table, how many rows it gives and the SHA-256 of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector import venues
from collector.journal import Kind, Record, read
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.normaliser import Normaliser

KEPT = sorted(path for path in Path(__file__).parent.iterdir() if (path / "rows.json").exists())
TABLES = (
    "trades",
    "ticks",
    "books",
    "candles",
    "derivatives",
    "rates",
    "instruments",
    "sessions",
    "gaps",
    "outcomes",
    "quarantine",
)
GONE = "an-adapter-of-before"


def replayed(records: Iterator[Record]) -> Records:
    normaliser, out = Normaliser(venues.find), Records()
    for record in records:
        apply(record, normaliser, out)
    return out


def told(out: Records) -> dict[str, list[Any]]:
    """Return how many rows there are of each table, and what stands for their content."""
    return {table: [len(rows := getattr(out, table)), digest(rows)] for table in TABLES}


def digest(rows: list[Any]) -> str:
    lines = sorted("|".join(map(str, flat(row))) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from flat(part)
    else:
        yield value


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_a_kept_journal_gives_the_rows_that_it_gave(folder: Path) -> None:
    out = replayed(read(folder))

    assert told(out) == json.loads((folder / "rows.json").read_text())
    assert out.items == sum(len(getattr(out, table)) for table in TABLES if table not in NOT_ITEMS) + sum(
        entry.items for entry in out.quarantine
    )


NOT_ITEMS = ("instruments", "sessions", "gaps", "outcomes", "quarantine")


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_an_adapter_that_is_gone_costs_its_own_frames_alone(folder: Path) -> None:
    out = replayed(without_an_adapter(folder))

    whole = replayed(read(folder))
    assert {row.instrument.venue for row in out.trades} == {row.instrument.venue for row in whole.trades} - {"fmex"}
    assert [row for row in whole.trades if row.instrument.venue != "fmex"] == out.trades
    assert {entry.venue for entry in out.quarantine} == {"fmex"}


def without_an_adapter(folder: Path) -> Iterator[Record]:
    for record in read(folder):
        if record.kind in (Kind.OPEN, Kind.CARRY):
            header = orjson.loads(record.payload)
            if header["adapter"] == "fmex":
                record = record._replace(payload=orjson.dumps({**header, "adapter": GONE}))
        yield record
