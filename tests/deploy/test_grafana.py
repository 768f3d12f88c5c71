"""The dashboards: made by their script, and every query in them answered by a real database or known to Prometheus."""

from __future__ import annotations

import json
import re
import runpy
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml

from tests.store.test_schema import EXAMPLES, NOON

if TYPE_CHECKING:
    from tests.databases import DatabaseServer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")}
DOCUMENTED = set(re.findall(r"^\| `(collector_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))

MORE = f"""
insert into journal_position (journal, segment, byte_offset) values ('other', 1, 0);
insert into sessions (session_id, venue_id, worker, opened_at, details) values
  (2, 1, 'fmfw-1', '{NOON}', '{{"subscriptions": [["trades", "trades", ["BTCUSDT"]]]}}');
"""


class Query(NamedTuple):
    """A question of a panel to the database."""

    dashboard: str
    panel: str
    text: str
    time_series: bool


def panels() -> list[tuple[str, dict[str, Any]]]:
    return [(name, panel) for name, board in sorted(DASHBOARDS.items()) for panel in board["panels"]]


QUERIES = [
    Query(name, panel["title"], target["rawSql"], target["format"] == "time_series")
    for name, panel in panels()
    for target in panel.get("targets", [])
    if "rawSql" in target
]
EXPRESSIONS = [
    pytest.param(target["expr"], id=panel["title"])
    for _, panel in panels()
    for target in panel.get("targets", [])
    if "expr" in target
]


def as_grafana_sends_it(text: str, *, venue: str = "fmfw", symbol: str = "BTCUSDT") -> str:
    """Fill in Grafana's macros and variables, for an hour around noon."""
    start, end = (f"'{(NOON + timedelta(minutes=minutes)).isoformat()}'" for minutes in (-30, 30))
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 between {start} and {end}", text)
    values = {"venue": venue, "symbol": symbol, "period": "1 minute"}
    for name, value in values.items():
        quoted = value.replace("'", "''")
        text = text.replace(f"${{{name}:sqlstring}}", f"'{quoted}'")
    known = {"$__timeFrom()": f"timestamptz {start}", "$__timeTo()": f"timestamptz {end}", "$__interval_ms": "60000"}
    for macro, value in known.items():
        text = text.replace(macro, value)
    assert "$" not in text, f"a macro that nobody fills in: {text}"
    return text


async def answer(dsn: str, text: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(text))
    finally:
        await connection.close()


@pytest.fixture
async def market(database_server: DatabaseServer, database: str) -> str:
    """The DSN of a login that only reads, as Grafana's, to a database that holds a little of everything."""
    owner = await asyncpg.connect(database)
    administrator = await asyncpg.connect(database_server.superuser(database))
    try:
        await owner.execute(EXAMPLES + MORE)
        await administrator.execute(f"grant connect on database {urlsplit(database).path.lstrip('/')} to analyst")
    finally:
        await administrator.close()
        await owner.close()
    return database_server.login("analyst", database)


def test_dashboards_are_what_their_script_makes() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_dashboards.py"))
    boards = [made["operators"](), made["analysts"]()]

    assert {board["uid"].removeprefix("collector-"): board for board in boards} == DASHBOARDS


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.dashboard}-{query.panel}")
async def test_every_query_finds_what_there_is(market: str, query: Query) -> None:
    rows = await answer(market, as_grafana_sends_it(query.text))

    assert rows, query.text
    columns = list(rows[0].keys())
    assert columns[0] == "time"
    assert len(columns) > 1
    if query.time_series:
        assert all(isinstance(row["time"], datetime) for row in rows)
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{query.dashboard}-{query.panel}")
async def test_no_query_minds_odd_names(market: str, query: Query) -> None:
    rows = await answer(market, as_grafana_sends_it(query.text, venue="o'clock", symbol="'; drop table trades --"))

    assert not rows or query.dashboard == "operators"


async def test_choices_are_offered(market: str) -> None:
    variables = {one["name"]: one for one in DASHBOARDS["market"]["templating"]["list"]}

    assert [row[0] for row in await answer(market, as_grafana_sends_it(variables["venue"]["query"]))] == ["fmfw"]
    assert [row[0] for row in await answer(market, as_grafana_sends_it(variables["symbol"]["query"]))] == ["BTCUSDT"]


async def test_choices_of_candles_are_lengths_of_time(market: str) -> None:
    variables = {one["name"]: one for one in DASHBOARDS["market"]["templating"]["list"]}
    for option in variables["period"]["options"]:
        [row] = await answer(market, f"select extract(epoch from interval '{option['value']}')::int as seconds")
        assert row["seconds"] >= 60


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_name_metrics_that_there_are(expression: str) -> None:
    names = {re.sub(r"_bucket$", "", name) for name in re.findall(r"collector_\w+", expression)}

    assert names
    assert names <= DOCUMENTED


def test_panels_stand_side_by_side_and_ask_sources_that_are_provisioned() -> None:
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/collector.yml").read_text())["datasources"]
    known = {source["uid"] for source in sources}
    for board in DASHBOARDS.values():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])
            }
            assert not taken & cells, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells
            assert panel["type"] == "row" or panel["datasource"]["uid"] in known
