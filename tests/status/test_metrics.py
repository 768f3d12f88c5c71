"""What Prometheus is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from collector.feed.connection import ConnectionState
from collector.repair.tally import GapCount
from collector.status.metrics import DaemonMetrics
from collector.status.recent import Recent
from collector.status.snapshot import snapshot
from collector.store.batch import TableCount
from collector.supervise.parts import Part
from tests.kit.watched import WatchedDaemon, watched

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        one.add_connection(one.add_venue(), "A", "B")
        yield one


def registry(daemon: WatchedDaemon) -> CollectorRegistry:
    recent = Recent(daemon.observed)
    recent.look()
    whole = daemon.statistics.registry
    whole.register(DaemonMetrics(lambda: snapshot(daemon.observed, recent), daemon.statistics.looks))
    return whole


def families(daemon: WatchedDaemon) -> dict[str, Metric]:
    text = generate_latest(registry(daemon)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_outcomes_of_items_add_up_by_table(daemon: WatchedDaemon) -> None:
    daemon.commit(TableCount(10, 7, 2, 1))
    daemon.commit(TableCount(5, 5, 0, 0), table="books")
    whole = registry(daemon)

    def items(table: str, outcome: str) -> float | None:
        return whole.get_sample_value("collector_items_total", {"table": table, "outcome": outcome})

    assert [items("trades", outcome) for outcome in ("stored", "duplicate", "quarantined")] == [7, 2, 1]
    assert items("books", "stored") == 5
    assert whole.get_sample_value("collector_items_add_up") == 1


def test_exactly_one_state_of_a_connection_is_set(daemon: WatchedDaemon) -> None:
    daemon.add_connection(daemon.workers["fake"].worker, "C", state=ConnectionState.WAITING)
    samples = families(daemon)["collector_connection_state"].samples
    on = {(one.labels["connection"], one.labels["state"]) for one in samples if one.value}
    assert on == {("fake-1", "live"), ("fake-2", "waiting")}
    assert len(samples) == 2 * len(ConnectionState)


def test_subscriptions_are_counted_by_stream_and_state(daemon: WatchedDaemon) -> None:
    whole = registry(daemon)
    labels = {"venue": "fake", "stream": "trades"}
    assert whole.get_sample_value("collector_subscriptions", {**labels, "state": "flowing"}) == 2
    assert whole.get_sample_value("collector_subscriptions", {**labels, "state": "refused"}) == 0
    assert whole.get_sample_value("collector_last_record_age_seconds", labels) == 2.0


def test_what_is_not_known_has_no_sample(daemon: WatchedDaemon) -> None:
    daemon.recorder.committed = None
    whole = registry(daemon)
    assert whole.get_sample_value("collector_journal_backlog_bytes") is None
    assert whole.get_sample_value("collector_last_commit_age_seconds") is None
    assert whole.get_sample_value("collector_journal_buffered_bytes") is not None


def test_database_and_journal_trouble_is_visible(daemon: WatchedDaemon) -> None:
    whole = registry(daemon)
    assert whole.get_sample_value("collector_database_connected") == 1
    assert whole.get_sample_value("collector_ready") == 1
    daemon.writer_connection.note_away("gone")
    daemon.journal._room.fault = "No space left on device"
    assert whole.get_sample_value("collector_database_connected") == 0
    assert whole.get_sample_value("collector_journal_fault") == 1
    assert whole.get_sample_value("collector_ready") == 0
    assert whole.get_sample_value("collector_healthy") == 1


def test_bugs_of_an_adapter_are_counted_by_place_from_zero_on(daemon: WatchedDaemon) -> None:
    whole = registry(daemon)
    at = {"venue": "fake", "place": "conversation.tick"}
    assert whole.get_sample_value("collector_adapter_failures_total", at) == 0
    daemon.workers["fake"].worker.failures.counts["conversation.tick"] += 2
    assert whole.get_sample_value("collector_adapter_failures_total", at) == 2


def test_hostile_names_do_not_break_the_format(daemon: WatchedDaemon) -> None:
    daemon.add_venue('a"b\n\\c')
    values = families(daemon)["collector_worker_failures"].samples
    assert {one.labels["venue"] for one in values} == {"fake", 'a"b\n\\c'}


def test_symbols_never_become_labels(daemon: WatchedDaemon) -> None:
    count = sum(len(one.samples) for one in families(daemon).values())
    daemon.statistics.registry = CollectorRegistry()
    daemon.add_connection(daemon.workers["fake"].worker, *(f"S{n}" for n in range(500)))
    assert "S499" not in generate_latest(registry(daemon)).decode()
    assert sum(len(one.samples) for one in families(daemon).values()) < count + 20


def tell_of_completeness(daemon: WatchedDaemon) -> None:
    """Give the daemon a gap, a repairer and an audited minute to tell of."""
    daemon.auditing.tally.counts = (GapCount("fake", "disconnect", 1, 3),)
    daemon.repairers["fake"] = SimpleNamespace(state="idle", waiting=0, repaired=2, lost=1, rows=40, trouble="")
    assert daemon.auditing.auditor is not None
    daemon.auditing.auditor.counts["fake", "complete"] = 7


def test_gaps_repairs_and_audited_minutes_are_counted(daemon: WatchedDaemon) -> None:
    tell_of_completeness(daemon)
    whole = registry(daemon)
    gap = {"venue": "fake", "cause": "disconnect"}
    assert whole.get_sample_value("collector_gaps_open", gap) == 1
    assert whole.get_sample_value("collector_gaps_total", gap) == 3
    assert whole.get_sample_value("collector_repaired_rows_total", {"venue": "fake"}) == 40
    audited = {"venue": "fake", "verdict": "complete"}
    assert whole.get_sample_value("collector_audited_minutes_total", audited) == 7
    assert whole.get_sample_value("collector_audit_alarms") == 0


def test_documentation_lists_every_metric_with_its_type_and_labels(daemon: WatchedDaemon) -> None:
    daemon.commit(TableCount(10, 7, 2, 1))
    worker = daemon.workers["fake"].worker
    worker.rest = daemon.rest()
    daemon.first_connection.heard.last_frame_ns = daemon.clock.now_ns()
    worker.connections["fake-1"].losses["cut"] += 1
    daemon.intake.catch_up(daemon.normaliser)
    daemon.intake.oldest_ns = daemon.clock.now_ns()
    tell_of_completeness(daemon)
    daemon.parts["page"] = Part("page", asyncio.Event().wait, daemon.clock, Random(1))
    told = set()
    for name, family in families(daemon).items():
        labels = frozenset(label for one in family.samples for label in one.labels) - {"le"}
        if name.endswith("_created"):  # the library's own, beside every histogram
            continue
        told.add((name + ("_total" if family.type == "counter" else ""), family.type, labels))
        assert family.samples, f"{name} needs a value here to be compared"
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\|", DOCS.read_text(), re.MULTILINE)
    documented = {(name, kind, frozenset(filter(None, labels.split(", ")))) for name, kind, labels in rows}
    assert documented == told
