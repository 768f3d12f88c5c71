"""The doctor: each fault named with its remedy, nothing changed, and offline no more than warnings."""

from __future__ import annotations

import json
import logging
import re
import resource
import shutil
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog

from collector import simulator
from collector.check import Finding, Verdict, check
from collector.check.clock import ClockBounds
from collector.check.machine import judge_syncs
from collector.cli import main
from collector.config import load
from tests.databases import DatabaseServer, open_folder, with_database

NOBODY = "postgresql://collector:hunter22@127.0.0.1:1/market"


def written(folder: Path, *, dsn: str = NOBODY, more: str = "") -> Path:
    path = folder / "collector.toml"
    data = folder / "data"
    data.mkdir(exist_ok=True)
    path.write_text(f'data_dir = "{data}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n{more}')
    return path


async def told(path: Path, *, offline: bool = True) -> dict[str, Finding]:
    return {one.subject: one async for one in check(load(path, {}), offline=offline)}


VENUE = '[venues.fmfw]\nsymbols = ["A"]\nstreams = ["trades"]\nrest_url = "http://127.0.0.1:1"\nws_url = "ws://127.0.0.1:1"\n'


ABSENT = VENUE + "enabled = false\n"


async def test_the_disk_is_measured_and_left_as_it_was(tmp_path: Path) -> None:
    found = await told(written(tmp_path, more=VENUE))

    assert found["disk speed"].verdict in (Verdict.OK, Verdict.WARNING)
    assert "a sync of 64 KiB takes" in found["disk speed"].text
    assert list((tmp_path / "data").iterdir()) == []


def test_a_disk_slower_than_the_journal_wants_is_a_warning() -> None:
    quick, slow = judge_syncs([5.0] * 20, 100), judge_syncs([5.0] * 8 + [150.0] * 12, 100)

    assert quick.verdict is Verdict.OK
    assert slow.verdict is Verdict.WARNING
    assert "150.0 ms" in slow.text
    assert "journal.sync_ms" in slow.remedy


async def test_too_few_files_and_too_small_ones_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NOFILE: (50, 100), resource.RLIMIT_FSIZE: (1 << 20, 1 << 20)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)

    found = await told(written(tmp_path, more=VENUE))

    assert found["open files"].verdict is Verdict.WARNING
    assert "100 files may be open" in found["open files"].text
    assert "ulimit -Hn" in found["open files"].remedy
    assert found["file size"].verdict is Verdict.FAILURE

    limits[resource.RLIMIT_NOFILE] = (1024, 20_000)  # the daemon raises it

    assert (await told(written(tmp_path, more=VENUE)))["open files"].verdict is Verdict.OK


async def test_a_database_that_is_away_is_a_failure_but_no_more_than_a_warning_offline(tmp_path: Path) -> None:
    path = written(tmp_path, more=VENUE)
    offline, online = await told(path), await told(path, offline=False)

    assert offline["database"].verdict is Verdict.WARNING
    assert online["database"].verdict is Verdict.FAILURE
    assert "hunter22" not in str(offline) + str(online)
    assert [one for one in offline if one.startswith("venues.")] == ["venues.fmfw.audit"]
    assert online["venues.fmfw"].verdict is Verdict.FAILURE
    assert "check the addresses in [venues.fmfw]" in online["venues.fmfw"].remedy


async def test_a_full_disk_does_not_keep_the_service_from_starting(tmp_path: Path) -> None:
    path = written(tmp_path, more="[journal]\nmin_free_gb = 1000000\n" + VENUE)

    assert (await told(path))["disk space"].verdict is Verdict.WARNING
    assert (await told(path, offline=False))["disk space"].verdict is Verdict.FAILURE


@pytest.fixture
def own_log() -> Iterator[None]:
    """A command sets the log up on a stream that ends with its test."""
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


@pytest.mark.usefixtures("own_log")
def test_the_status_of_the_command_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, more=VENUE)
    assert main(["check", "--offline", "--json", "--config", str(path)]) == 0
    assert {one["subject"] for one in json.loads(capsys.readouterr().out)} >= {
        "configuration",
        "disk speed",
        "database",
    }
    (tmp_path / "data").rmdir()
    (tmp_path / "data").touch()
    assert main(["check", "--offline", "--config", str(path)]) == 1
    path.write_text("data_dirr = 1")
    assert main(["check", "--offline", "--config", str(path)]) == 2


# -- the database ------------------------------------------------------------------------------------------------------


async def test_version_and_edition_are_told(database_server: DatabaseServer, database: str, tmp_path: Path) -> None:
    found = await told(written(tmp_path, dsn=database, more=ABSENT))

    edition = "(Apache edition)" if database_server.name == "timescaledb" else "the tables are plain ones"
    assert found["database"].text.endswith(edition)
    assert found["database rights"] == Finding("database rights", Verdict.OK, "collector may write every table")


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_a_database_that_takes_no_writes_is_a_failure_and_options_without_effect_are_named(
    database_server: DatabaseServer, database: str, tmp_path: Path
) -> None:
    administrator = await asyncpg.connect(database_server.server.superuser_dsn)
    try:
        name = urlsplit(database).path[1:]
        await administrator.execute(f"alter database {name} set default_transaction_read_only = on")
    finally:
        await administrator.close()
    found = await told(written(tmp_path, dsn=f"{database}&keepalives=1&connect_timeout=3", more=ABSENT), offline=False)
    assert found["database writes"].verdict is Verdict.FAILURE
    assert "read-only" in found["database writes"].text
    assert found["database options"].text.startswith("keepalives: these options have no effect")


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_missing_rights_are_named_and_their_grant_cures_them(
    database_server: DatabaseServer, database: str, tmp_path: Path
) -> None:
    administrator = await asyncpg.connect(database_server.superuser(database))
    try:
        await administrator.execute("""create role "Poor one" login password 'poor'""")
        try:
            dsn = database.replace("://collector:", "://Poor%20one:").replace(
                database.split(":")[2].split("@")[0], "poor"
            )
            path = written(tmp_path, dsn=dsn, more=ABSENT)
            missing = (await told(path, offline=False))["database rights"]
            assert missing.verdict is Verdict.FAILURE
            assert "select, insert, update" in missing.text
            # Either of the two that are offered is what a superuser pastes.
            group, _ = missing.remedy.partition(": ")[2].split(", or ")
            assert group == 'GRANT collector_writer TO "Poor one"'
            await administrator.execute(group)
            assert (await told(path, offline=False))["database rights"].verdict is Verdict.OK
            assert "storage" not in await told(path)
            path.write_text(path.read_text() + '[storage.books]\nkeep = "90d"\n')
            storage = (await told(path))["storage"]
            assert "Poor one does not own books" in storage.text
            await administrator.execute(storage.remedy.partition(": ")[2].partition(";")[0])
            assert "storage" not in await told(path)
            await administrator.execute('revoke collector from "Poor one"')
            await administrator.execute('revoke collector_writer from "Poor one"')
            for one in [one async for one in check(load(path, {})) if one.subject == "database rights"]:
                await administrator.execute(one.remedy.partition(", or ")[2])
            assert (await told(path, offline=False))["database rights"].verdict is Verdict.OK
        finally:
            await administrator.execute('drop owned by "Poor one"; drop role "Poor one"')
    finally:
        await administrator.close()


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_a_login_that_may_not_make_the_tables_is_told_what_it_needs(
    database_server: DatabaseServer, empty_database: str, tmp_path: Path
) -> None:
    dsn = database_server.login("analyst", empty_database)
    administrator = await asyncpg.connect(database_server.superuser(empty_database))
    try:
        await administrator.execute(f"grant connect on database {urlsplit(empty_database).path[1:]} to analyst")
        path = written(tmp_path, dsn=dsn, more=ABSENT)
        found = await told(path, offline=False)
        assert found["migrations"].verdict is Verdict.WARNING
        rights = found["database rights"]
        assert rights.text == "analyst may not create tables in schema public"
        await administrator.execute(rights.remedy.partition(": ")[2])
        assert (await told(path, offline=False))["database rights"].verdict is Verdict.OK
    finally:
        await administrator.close()


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_a_refused_login_names_the_setting(database: str, tmp_path: Path) -> None:
    wrong = with_database(database.replace(database.split(":")[2].split("@")[0], "hunter22"), "market")
    found = (await told(written(tmp_path, dsn=wrong, more=ABSENT), offline=False))["database"]

    assert found.verdict is Verdict.FAILURE
    assert found.remedy.startswith("correct database.dsn (")
    assert "collector.toml" in found.remedy
    assert "hunter22" not in str(found)


# -- venues ------------------------------------------------------------------------------------------------------------


async def test_a_refused_token_is_named_with_its_setting(tmp_path: Path) -> None:
    async with simulator.serve(["metaapi", "finam"], seed=3, rate=5) as running:
        wrong = {"metaapi": ("token", "not-the-token-at-all"), "finam": ("secret", "not-the-secret-at-all")}
        more = "\n".join(
            re.sub(rf"^{key} = .*$", f'{key} = "{value}"', running[name].config, flags=re.MULTILINE)
            for name, (key, value) in wrong.items()
        )
        path = written(tmp_path, more=more)
        found = await told(path, offline=False)

    for key in ("venues.metaapi.token", "venues.finam.secret"):
        assert found[key].verdict is Verdict.FAILURE, found
        assert str(path) in found[key].remedy
    assert "at-all" not in str(found)
    assert found["venues.finam.clock"].verdict is Verdict.OK


async def test_a_venue_that_answers_is_planned_and_its_clock_compared(tmp_path: Path) -> None:
    async with simulator.serve(["fmfw"], seed=3, rate=5) as running:
        address = running["fmfw"].address
        more = VENUE.replace("http://127.0.0.1:1", address["rest_url"]).replace("ws://127.0.0.1:1", address["ws_url"])
        found = await told(written(tmp_path, more=more.replace('"A"', '"*"')), offline=False)

    assert found["venues.fmfw"].verdict is Verdict.OK
    assert found["venues.fmfw.ws_url"].verdict is Verdict.OK
    assert found["venues.fmfw.clock"].verdict is Verdict.OK


def bounds(*answers: tuple[float, float, float]) -> Finding | None:
    """The finding after answers of (asked, answered, the venue's time)."""
    noted = ClockBounds()
    for asked, answered, date in answers:
        noted.note({"Date": formatdate(date, usegmt=True)}, int(asked * 1e9), int(answered * 1e9))
    return next(noted.findings("venues.x"), None)


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        (0, Verdict.OK),
        (1.5, Verdict.OK),
        (2.5, Verdict.WARNING),
        (-2.5, Verdict.WARNING),
        (40, Verdict.FAILURE),
        (-40, Verdict.FAILURE),
    ],
)
def test_a_clock_that_is_off_for_certain_is_told(ahead: float, verdict: Verdict) -> None:
    found = bounds((NOW + ahead, NOW + ahead + 0.2, NOW))

    assert found is not None
    assert found.verdict is verdict


def test_a_slow_answer_alone_proves_nothing_and_several_narrow_the_bounds() -> None:
    slow = bounds((NOW - 20, NOW + 20, NOW))
    narrowed = bounds((NOW - 20, NOW + 20, NOW), (NOW + 3, NOW + 3.1, NOW), (NOW + 3.8, NOW + 3.9, NOW + 1))

    assert slow is not None
    assert slow.verdict is Verdict.OK
    assert narrowed is not None
    assert narrowed.text == "our clock is at least 2.0 s ahead of the venue's"


def test_an_answer_from_a_store_or_without_a_date_tells_nothing() -> None:
    noted = ClockBounds()
    noted.note({"date": formatdate(NOW, usegmt=True), "Age": "70"}, int(NOW * 1e9), int(NOW * 1e9))
    noted.note({"date": "soon"}, int(NOW * 1e9), time.time_ns())
    noted.note({}, int(NOW * 1e9), time.time_ns())

    assert noted.least_seconds is None


# -- who may read ------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that every account can enter."""
    made = open_folder()
    yield made
    shutil.rmtree(made)


async def test_secrets_that_everybody_may_read_are_told_with_what_to_do(open_place: Path) -> None:
    path = written(open_place, more=VENUE)
    path.chmod(0o644)
    found = await told(path)
    assert found["secrets"].verdict is Verdict.WARNING
    assert f"{path}, which holds database.dsn" in found["secrets"].text
    assert f"chmod 600 {path}" in found["secrets"].remedy
    assert "hunter22" not in str(found)
    for mode in (0o600, 0o640):
        path.chmod(mode)
        assert (await told(path))["secrets"].verdict is Verdict.OK


async def test_a_secret_s_own_file_is_looked_at_too(open_place: Path) -> None:
    path = written(open_place, more=VENUE)
    (open_place / "dsn").write_text(NOBODY)
    (open_place / "dsn").chmod(0o604)
    path.write_text(path.read_text().replace(f'dsn = "{NOBODY}"', 'dsn_file = "dsn"'))
    assert f"{open_place / 'dsn'}, which holds database.dsn" in (await told(path))["secrets"].text
    (open_place / "dsn").chmod(0o600)
    assert (await told(path))["secrets"].verdict is Verdict.OK


async def test_what_lies_behind_a_closed_folder_nobody_may_read(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(0o700)
    path = written(tmp_path / "closed", more=VENUE)
    path.chmod(0o644)
    assert (await told(path))["secrets"].verdict is Verdict.OK


@pytest.mark.parametrize(("mode", "warned"), [(0o755, True), (0o750, True), (0o711, False), (0o700, False)])
async def test_a_data_folder_that_others_may_look_into_is_told(open_place: Path, mode: int, warned: bool) -> None:
    path = written(open_place, more=VENUE)
    (open_place / "data").chmod(mode)
    found = await told(path)
    assert ("data_dir access" in found) == warned
    if warned:
        assert found["data_dir access"].verdict is Verdict.WARNING
        assert found["data_dir access"].remedy == f"chmod 700 {open_place / 'data'}"
