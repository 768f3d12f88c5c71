"""Migrations bring any database to the same state, once."""

from __future__ import annotations

from collector.store.migrate import migrate, pending


async def test_an_empty_database_gets_every_step_once(empty_database: str) -> None:
    steps = await pending(empty_database)
    said: list[str] = []

    assert steps
    assert await migrate(empty_database, progress=said.append) == steps
    assert said == [f"applied {steps[0]}: Market data: tables of facts, the books kept about them, views for people."]
    assert await pending(empty_database) == []
    assert await migrate(empty_database) == []
