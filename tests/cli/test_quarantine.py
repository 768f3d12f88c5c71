"""`collector quarantine`: frames that a parser of before did not understand become rows, and nothing else changes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from collector.cli import main
from collector.venues.fmfw.parser import FmfwParser
from tests.kit.stage import Stage, all_equal, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

UPDATE = b'{"ch":"trades","update"'

LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*\n", re.MULTILINE)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.logs.configure", lambda *_, **__: None)
    for name, value in {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


async def run(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = await asyncio.to_thread(main, ["quarantine", *arguments, "--config", str(on.config)])
    said = capsys.readouterr()
    out = LOGGED.sub("", said.out)  # by the daemon in this process, which logs to the same place
    return status, out, " ".join(said.err.replace("│", " ").split())


async def told(on: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status, out, _ = await run(on, capsys, *arguments, "--json")
    return status, json.loads(out)


def spoil(monkeypatch: pytest.MonkeyPatch, frames: int) -> list[bytes]:
    """Make a parser of which some frames of trades are too much; returns those."""
    frame = FmfwParser.frame
    spoilt: list[bytes] = []

    def fails(self: FmfwParser, payload: bytes, received_ns: int, out: Any) -> Any:
        if len(spoilt) < frames and payload.startswith(UPDATE):
            spoilt.append(payload)
        if payload in spoilt:
            raise RuntimeError("a bug of ours")
        return frame(self, payload, received_ns, out)

    monkeypatch.setattr(FmfwParser, "frame", fails)
    return spoilt


async def quarantined(on: Stage) -> tuple[int, int]:
    """Items that wait as the entries tell, and as the counts do."""
    [(entries,)] = await on.query("select coalesce(sum(items), 0)::bigint from quarantine where resolved_at is null")
    [(counts,)] = await on.query("select sum(quarantined)::bigint from journal_counts")
    return entries, counts


async def test_frames_of_a_broken_parser_become_rows_once_it_is_whole(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(database, tmp_path, rate=600) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
        await on.begun()
        with monkeypatch.context() as broken:
            spoilt = spoil(broken, 20)
            await until(lambda: len(spoilt) == 20, "frames that fail")
            await until(lambda: daemon.statistics.total.quarantined == 20, "all of them in quarantine")
            status, answer = await told(on, capsys, "parse", "--all")
            assert status == 1
            assert {one["error"] for one in answer["entries"]} == {"parser failed: RuntimeError: a bug of ours"}
            assert await quarantined(on) == (20, 20)

        status, answer = await told(on, capsys, "parse", "--all", "--dry-run")
        assert (status, answer["dry_run"], {one["result"] for one in answer["entries"]}) == (0, True, {"stored"})
        assert await quarantined(on) == (20, 20)

        status, answer = await told(on, capsys, "parse", "--all", "--venue", "fmfw")
        items = sum(len(items) for one in spoilt for items in json.loads(one)["update"].values())
        assert (status, len(answer["entries"])) == (0, 20)
        assert sum(one["rows"]["trades"] for one in answer["entries"]) == items
        assert sum(one["new"] for one in answer["entries"]) == items

        assert all_equal(await on.compare(daemon))
        assert await quarantined(on) == (0, 0)
        await on.counts_add_up()
        assert await told(on, capsys, "parse", "--all") == (0, {"dry_run": False, "entries": []})
    assert await on.query("select count(*) from quarantine where resolved_at is not null") == [(20,)]


async def test_garbage_is_listed_shown_and_set_aside_and_nothing_is_deleted(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 300, "300 rows")
        for fault in ("garbage", "nan_price", "unknown_symbol", "year_9999"):
            assert on.venue.fault(fault, channel="trades", count=3)["hit"] == 3
        await until(lambda: daemon.statistics.total.quarantined == 12, "all of them in quarantine")

        status, answer = await told(on, capsys, "list", "--group")
        assert status == 0
        assert sorted(one["entries"] for one in answer["groups"]) == [3, 3, 3, 3]
        assert {one["venue"] for one in answer["groups"]} == {"fmfw"}
        status, answer = await told(on, capsys, "list", "--error", "price*", "--stream", "trades")
        if not answer["entries"]:
            assert status == 1  # none ever had it
            status, answer = await told(on, capsys, "list", "--error", "p: *", "--stream", "trades")
        assert (len(answer["entries"]), answer["summary"]["waiting"]) == (3, 3)
        entry = answer["entries"][0]

        status, out, _ = await run(on, capsys, "show", str(entry["quarantine_id"]))
        assert status == 0
        assert entry["error"] in out
        assert "^^^ character" in out
        assert f"{on.venue.address['ws_url']}, opened" in out
        status, shown = await told(on, capsys, "show", str(entry["quarantine_id"]))
        assert shown["payload"].encode() in {one.text.encode() for one in on.venue.ledger.injected}
        assert shown["place"]["segment"] == shown["segment"]
        assert shown["place"]["offset"] < shown["byte_offset"]
        assert shown["place"]["session"]["venue"] == "fmfw"

        status, out, _ = await run(on, capsys, "parse", "--all")
        assert status == 1
        assert "12 still not understood" in out
        assert await quarantined(on) == (12, 12)

        number = str(entry["quarantine_id"])
        assert await run(on, capsys, "discard", number, "--reason", "a test") == (0, "1 entry discarded\n", "")
        status, out, err = await run(on, capsys, "parse", number, "999999")
        assert (status, out) == (1, "")
        assert f"entry {number} is discarded already (a test); there is no entry 999999" in err
        status, out, _ = await run(on, capsys, "discard", "--all", "--stream", "trades", "--reason", "the rest")
        assert status == 0
        status, answer = await told(on, capsys, "list", "--state", "discarded")
        assert {one["discarded_reason"] for one in answer["entries"]} == {"a test", "the rest"}
        assert await on.rows("quarantine") == 12
        assert all_equal(await on.compare(daemon))
        await on.counts_add_up()


async def test_wrong_usage_names_what_would_be_right(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path, running=False) as on:
        for arguments, said in [
            (["parse"], "name entries by their IDs, or use --all"),
            (["parse", "--venue", "fmfw"], "or use --all together with the options that narrow it"),
            (["parse", "1", "--all"], "not both"),
            (["discard", "1"], "--reason"),
            (["discard", "1", "--reason", " "], "say why these entries"),
            (
                ["list", "--state", "open"],
                "no state 'open' to choose; there is all, discarded, resolved, waiting",
            ),
            (["list", "--kind", "x"], "there is no kind 'x' to choose; there is frame, row"),
            (["list", "--from", "tomorrow"], "'tomorrow' is not a time"),
            (["show", "x"], "Invalid value for"),
        ]:
            status, out, err = await run(on, capsys, *arguments)
            assert (status, out) == (2, "")
            assert said in err
        for option, wrong, meant in (("--venue", "fmwf", "fmfw"), ("--stream", "trads", "trades")):
            for command in (["list"], ["list", "--group"], ["parse", "--all"], ["discard", "--all", "--reason", "x"]):
                status, out, err = await run(on, capsys, *command, option, wrong)
                assert (status, out) == (2, "")
                assert f"Invalid value for {option}: there is no" in err
                assert f"did you mean {meant}" in err
        assert (await run(on, capsys, "list", "--venue", "fmfw", "--stream", "sessions"))[0] == 2
        status, out, err = await run(on, capsys, "list", "--venue", "fmfw", "--stream", "trades", "--error", "prise*")
        assert (status, out) == (0, "nothing that matches is in quarantine\n")
        status, out, err = await run(on, capsys, "show", "77")
        assert (status, out) == (1, "")
        assert "there is no entry 77 in quarantine" in err
        on.config.write_text(on.config.read_text().replace(database, "postgresql://me:hunter2@127.0.0.1:1/market"))
        for arguments in (["list"], ["show", "1"], ["parse", "--all"], ["discard", "--all", "--reason", "x"]):
            status, out, err = await run(on, capsys, *arguments)
            assert (status, out) == (1, "")
            assert err.startswith("error: me@127.0.0.1:1/market: nobody answers")
