"""What tests are given to test on."""

from __future__ import annotations

import asyncpg
import pytest

from tests import databases


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "find", lambda **_wanted: None)


@pytest.mark.usefixtures("no_servers")
def test_without_a_server_its_tests_are_skipped_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_TIMESCALEDB", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no timescaledb server: `make test` or .* install --all"):
        databases.installation_for("timescaledb")


@pytest.mark.usefixtures("no_servers")
def test_where_a_server_is_due_its_absence_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_TIMESCALEDB", "1")
    with pytest.raises(pytest.fail.Exception, match="no timescaledb server"):
        databases.installation_for("timescaledb")


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(database: str, turn: int) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("select count(*) from venues") == 0
        await connection.execute("insert into venues (code) values ($1)", f"turn {turn}")
    finally:
        await connection.close()
