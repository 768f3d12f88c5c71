"""What a venue, a server or a file says is shown as text by every command: no markup, no order to the terminal."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from collector.audit.books import Outcome as BookOutcome
from collector.audit.request import PARTS, Choice, Report
from collector.audit.request_minutes import Minutes
from collector.cli import audit, backfill, demo, frame, instruments, main, plan, replay
from collector.cli.output import difference
from collector.cli.output import quarantine as quarantine_tables
from collector.cli.output.screen import Screen, say
from collector.cli.shared import quiet_progress, show_failure, show_faults
from collector.demo.compare import Verdict
from collector.demo.demo import _Rates, _screen
from collector.errors import CollectorError, ConfigError, Fault
from collector.feed.discovery import Listed
from collector.model import Instrument
from collector.plan import Flow, Plan
from collector.proof.difference import Compared
from collector.proof.parse_again import Outcome
from collector.proof.replay import Replayed
from collector.repair.job import Estimate
from collector.repair.job import Outcome as JobOutcome
from collector.store.batch import TableCount
from collector.store.shadow import Example, TableDifference
from tests.kit.watched import watched

EVIL = "[red]a[/docs/x]:smile:\x1b[2J\x1b]0;t\x07\x9b31m\x7f\u202eb\n\u2066c"

TABLES = (
    "insert into venues (code, name) values ($1, $1)",
    """insert into instruments (venue_id, symbol, base, quote, kind, status, name)
       select venue_id, $1, $1, $1, $1, $1, $1 from venues""",
    """insert into gaps (instrument_id, stream, from_time, cause, reason, state, tries, trouble)
       select instrument_id, $1, now() - interval '1 hour', $1, $1, 'open', 2, $1 from instruments""",
    """insert into quarantine (received_at, venue_id, stream, kind, error, items, payload, journal)
       select now(), venue_id, $1, 'frame', $1, 1, convert_to($1, 'UTF8'), $1 from venues""",
    """insert into quarantine
         (received_at, venue_id, stream, kind, error, items, payload, resolved_at, discarded_reason)
       select now(), venue_id, $1, $1, $1, 1, convert_to('{"a": "' || replace($1, chr(10), '') || '"}', 'UTF8'),
              now(), $1
       from venues""",
    """insert into sessions (session_id, venue_id, worker, url, opened_at, reason, frames, items)
       select 1, venue_id, $1, $1, now() - interval '2 hours', $1, 1, 1 from venues""",
    """insert into trades (time, instrument_id, trade_key, trade_id, price, size, side, received_at)
       select now() - interval '1 hour', instrument_id, 7, $1, 1, 1, 1, now() - interval '1 hour' from instruments""",
    """insert into candles (time, instrument_id, period, series, open, high, low, close, closed, received_at)
       select now() - interval '1 hour', instrument_id, 60, $1, 1, 1, 1, 1, true, now() from instruments""",
    """insert into news (time, venue_id, news_key, source, title, link, received_at)
       select now(), venue_id, 1, $1, $1, $1, now() from venues""",
    "insert into rates (time, venue_id, name, value, received_at) select now(), venue_id, $1, 1, now() from venues",
    """insert into audits (time, instrument_id, verdict, trades, differs, reason, audited_at)
       select now() - interval '1 hour', instrument_id, 'unexplained', 1, $1, $1, now() from instruments""",
)

timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


@pytest.fixture
async def configured(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    connection = await asyncpg.connect(database)
    for statement in TABLES:
        await connection.execute(statement, EVIL)
    await connection.close()
    path = tmp_path / "collector.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n[database]\ndsn = "{database}"\n')
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "5000", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    return ["--config", str(path)]


def harmless(text: str) -> str:
    """Return a text of a command after a look that it holds nothing but signs and lines of ours."""
    assert "Traceback" not in text
    assert not [one for one in text if one != "\n" and not one.isprintable()], repr(text)
    return text


COMMANDS = {
    "gaps": 0,
    "gaps --all --json": 0,
    "quarantine list": 0,
    "quarantine list --state all": 0,
    "quarantine list --group": 0,
    "quarantine list --json": 0,
    "quarantine show 1": 0,
    "quarantine show 2": 0,
    "quarantine parse --all": 1,
    "quarantine discard 1 --reason EVIL": 0,
    "audit": 1,
    "audit --json": 1,
    "explain trades EVIL EVIL 7": 1,
    "explain candles EVIL EVIL 60@TIME@EVIL": 1,
    "explain rates EVIL EVIL TIME": 1,
    "explain trades EVIL EVIL 7 --json": 1,
    "explain trades EVIL nosuch 7": 2,
    "export trades news --format csv --from 2020-01-01 --out OUT": 0,
    "export trades --format csv --from 2020-01-01 --venue EVILx --out OUT": 2,
    "chart EVIL nosuch": 2,
    "plan": 0,
    "plan --json": 0,
    "replay --diff": 1,
    "instruments": 0,
    "backfill EVIL EVIL --from 2026-01-01": 2,
    "status": 1,
    "migrate": 0,
    "check --offline": 1,
    "--config EVIL": 2,
}
SAY_IT = ("gaps", "quarantine list", "quarantine show", "explain")


@timescaledb
@pytest.mark.parametrize("command", COMMANDS)
async def test_tables_full_of_it_are_shown_as_text(
    database: str, configured: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    connection = await asyncpg.connect(database)
    time = await connection.fetchval(
        f"select to_json(time)#>>'{{}}' from {'rates' if 'rates' in command else 'candles'} limit 1"
    )
    await connection.close()
    words = [
        word.replace("EVIL", EVIL).replace("TIME", time).replace("OUT", str(tmp_path / "out"))
        for word in command.split()
    ]
    status = await asyncio.to_thread(main, ["gaps", *words] if words[0] == "--config" else [*words, *configured])
    told = capsys.readouterr()
    harmless(told.out)
    harmless(told.err)
    assert status == COMMANDS[command], told
    if "--json" in command:
        json.loads(told.out)
    elif command.startswith(SAY_IT):
        assert "[red]a[/docs/x]:smile:\\" in told.out + told.err


CHOICE = Choice([EVIL], [EVIL], datetime.now(UTC), datetime.now(UTC), PARTS, again=False)
MINUTES = Minutes(EVIL, EVIL, 1, 2, 3, 4, 5, "")
SPOILT = {
    "venue": EVIL,
    "symbol": EVIL,
    "time": datetime.now(UTC),
    "volume": Decimal(1),
    "trades": 1,
    "candle_volume": None,
    "differs": EVIL,
}
DAMAGED = Replayed(tables={EVIL: TableCount(1, 1, 0, 0)}, damages=[EVIL])
DIFFERENT = Compared(
    DAMAGED,
    (datetime.now(UTC), datetime.now(UTC)),
    {
        EVIL: TableDifference(
            1, 1, 1, 1, {EVIL: 1}, [Example("differs", EVIL, EVIL, datetime.now(UTC), {EVIL: EVIL}, {EVIL: 1})]
        )
    },
    {EVIL: 1},
    [EVIL],
)


PRINTERS: dict[str, Callable[[], object]] = {
    "minutes": lambda: audit._tell_minutes(Screen(), Report(CHOICE, minutes=[MINUTES], examples=[SPOILT])),
    "not auditable": lambda: audit._tell_minutes(Screen(), Report(CHOICE, minutes=[MINUTES._replace(reason=EVIL)])),
    "books": lambda: audit._tell_books(
        Screen(), Report(CHOICE, books=[(EVIL, EVIL, BookOutcome("unexplained", 1, 1, 1, 1, 1, 1, EVIL))])
    ),
    "backfill": lambda: backfill._tell(JobOutcome(EVIL, 1, {EVIL: {"items": 1}}, 1, {EVIL: EVIL})),
    "estimates": lambda: backfill._tell_estimates([Estimate(EVIL, EVIL, 1, 1, 1, 1.0)]),
    "difference": lambda: difference.tell(DIFFERENT, 1),
    "replay": lambda: replay._tell(DAMAGED),
    "instruments": lambda: instruments._tell([Listed(*(EVIL,) * 8, (EVIL,))]),
    "parsed again": lambda: quarantine_tables.tell_outcomes(
        [Outcome(1, "fails", {}, error=EVIL), Outcome(2, "stored", {EVIL: 1}, 1)], dry=False
    ),
    "frame": lambda: frame.tell_bytes(Screen(), f"{EVIL}\n{EVIL}".encode()),
    "frame in JSON": lambda: frame.tell_bytes(Screen(), json.dumps({EVIL: [EVIL] * 9}, ensure_ascii=False).encode()),
    "demo": lambda: demo._tell(Screen(), [Verdict(EVIL, EVIL, 1, 0, 1, 0, (EVIL,))], False),
    "failure": lambda: show_failure(CollectorError(EVIL)),
    "faults": lambda: show_faults(ConfigError([Fault(EVIL, EVIL, EVIL)])),
    "plan": lambda: plan._tell(
        Plan([Flow(EVIL, EVIL, EVIL, 1.0, 1.0, 1.0, EVIL)], 1.0, 1.0, EVIL, None, 1, None, None, None, None, [EVIL]),
        Screen(),
        None,
    ),
    "one line": lambda: say(EVIL),
    "progress": lambda: bar_of_a_task(),
}


def bar_of_a_task() -> None:
    progress = quiet_progress(quiet=False)
    progress.add_task(EVIL)
    Screen().print(progress.make_tasks_table(progress.tasks))


async def test_the_demo_s_table_shows_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with watched(tmp_path) as daemon:
        daemon.database.embedded = False
        daemon.statistics.rows_by_instrument[Instrument(EVIL, EVIL)] = Counter(trades=1)
        Screen(width=2000).print(_screen(daemon.observed, EVIL, _Rates(), None))
    told = [line for line in capsys.readouterr().out.splitlines() if "journal_" not in line]
    assert sum("[red]a[/docs/x]:smile:\\x1b[2J" in harmless(line) for line in told) == 2


@pytest.mark.parametrize("printer", PRINTERS)
def test_all_that_prints_prints_text(
    printer: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "5000")
    PRINTERS[printer]()
    told = capsys.readouterr()
    harmless(told.out)
    harmless(told.err)
    assert "[red]a[/docs/x]:smile:\\" in told.out + told.err
