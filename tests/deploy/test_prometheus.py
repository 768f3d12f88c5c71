"""The alerts, tried by promtool: each fires when it should, and on a good day none does."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "collector.rules.yml"
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}

AT = 'instance="c:8080", job="collector"'
FMFW = f'{AT}, venue="fmfw"'
LINE = f'{FMFW}, connection="fmfw-1"'
OTHER = f'{FMFW}, connection="fmfw-2"'
OF_ALL = {"instance": "c:8080", "job": "collector"}
OF_FMFW = {**OF_ALL, "venue": "fmfw"}
OF_LINE = {**OF_FMFW, "connection": "fmfw-1"}


class Case(NamedTuple):
    """Series in promtool's notation (a value each minute), and the one alert that they end in after twenty minutes."""

    alert: str
    series: dict[str, str]
    labels: dict[str, str]
    summary: str


def without(labels: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in names}


CASES = [
    Case("CollectorDown", {f"up{{{AT}}}": "1 0x30"}, OF_ALL, "c:8080 does not answer"),
    Case("CollectorUnhealthy", {f"collector_healthy{{{AT}}}": "1 0x30"}, OF_ALL, "A part of c:8080 is dead"),
    Case(
        "CollectorNotRecording",
        {f"collector_ready{{{AT}}}": "1 0x30", f"collector_healthy{{{AT}}}": "1x30"},
        OF_ALL,
        "c:8080 does not record everything it should",
    ),
    Case(
        "CollectorVenueDown",
        {
            f'collector_connection_state{{{LINE}, state="live"}}': "1 0x30",
            f'collector_connection_state{{{LINE}, state="waiting"}}': "0 1x30",
        },
        without(OF_FMFW, "job"),
        "No connection to fmfw is live",
    ),
    Case(
        "CollectorConnectionDown",
        {
            f'collector_connection_state{{{LINE}, state="live"}}': "1 0x30",
            f'collector_connection_state{{{OTHER}, state="live"}}': "1x30",
        },
        without(OF_LINE, "job"),
        "Connection fmfw-1 is not live",
    ),
    Case(
        "CollectorConnectionFlaps",
        {f'collector_losses_total{{{LINE}, kind="cut"}}': "0+1x30"},
        {**without(OF_LINE, "job"), "kind": "cut"},
        "fmfw-1 was lost 20 times in half an hour (cut)",
    ),
    Case(
        "CollectorLineSilent",
        {
            f"collector_last_frame_age_seconds{{{LINE}}}": "0+60x30",
            f'collector_connection_state{{{LINE}, state="live"}}': "1x30",
        },
        OF_LINE,
        "fmfw-1 is live but brought no frame for 20m 0s",
    ),
    Case(
        "CollectorWorkerFails",
        {f"collector_worker_failures_total{{{FMFW}}}": "0x15 1x15"},
        OF_FMFW,
        "The worker of fmfw crashed",
    ),
    Case(
        "CollectorAdapterFails",
        {f'collector_adapter_failures_total{{{FMFW}, place="address"}}': "0x15 1x15"},
        {**without(OF_FMFW, "job"), "place": "address"},
        "The adapter of fmfw has a bug, in address",
    ),
    Case(
        "CollectorSubscriptionsRefused",
        {f'collector_subscriptions{{{FMFW}, stream="trades", state="refused"}}': "0 2x30"},
        {**without(OF_FMFW, "job"), "stream": "trades"},
        "fmfw refuses 2 subscriptions to trades",
    ),
    Case(
        "CollectorSymbolsUnknown",
        {f"collector_venue_problems{{{FMFW}}}": "0 3x30"},
        OF_FMFW,
        "fmfw does not have 3 of the configured symbols",
    ),
    Case(
        "CollectorDatabaseAway",
        {f"collector_database_connected{{{AT}}}": "1 0x30"},
        OF_ALL,
        "c:8080 cannot reach its database",
    ),
    Case(
        "CollectorBehind",
        {
            f"collector_journal_backlog_seconds{{{AT}}}": "0+30x30",
            f"collector_database_connected{{{AT}}}": "1x30",
        },
        OF_ALL,
        "Rows of c:8080 are 10m 0s late",
    ),
    Case(
        "CollectorCommitsSlow",
        {
            f'collector_commit_lag_seconds_bucket{{{AT}, le="2"}}': "0+1x30",
            f'collector_commit_lag_seconds_bucket{{{AT}, le="5"}}': "0+100x30",
            f'collector_commit_lag_seconds_bucket{{{AT}, le="+Inf"}}': "0+100x30",
        },
        without(OF_ALL, "job"),
        "One row in a hundred takes 4.97s from receipt to commit",
    ),
    Case(
        "CollectorJournalFault",
        {f"collector_journal_fault{{{AT}}}": "0 1x30"},
        OF_ALL,
        "The disk of c:8080 refuses the journal",
    ),
    Case(
        "CollectorDiskBudget",
        {f"collector_journal_refusing{{{AT}}}": "0 1x30"},
        OF_ALL,
        "c:8080 records nothing: its disk is full",
    ),
    Case(
        "CollectorHeldBack",
        {f"collector_journal_full{{{AT}}}": "0 1x30"},
        OF_ALL,
        "c:8080 reads nothing: its disk is too slow",
    ),
    Case(
        "CollectorCountsDoNotAddUp",
        {f"collector_items_add_up{{{AT}}}": "1 0x30"},
        OF_ALL,
        "Items of c:8080 are unaccounted for",
    ),
    Case(
        "CollectorMinutesUnexplained",
        {f"collector_audit_alarms{{{AT}}}": "0 2x30"},
        OF_ALL,
        "2 minutes of c:8080 do not add up to the venue's candles",
    ),
    Case(
        "CollectorQuarantine",
        {f'collector_items_total{{{AT}, table="trades", outcome="quarantined"}}': "0x5 0+1x25"},
        {**without(OF_ALL, "job"), "table": "trades"},
        "14 items for trades could not be understood",
    ),
    Case(
        "CollectorVenueClockOff",
        {f"collector_venue_clock_offset_seconds{{{FMFW}}}": "-9x30"},
        OF_FMFW,
        "The clocks of c:8080 and fmfw are 9s apart",
    ),
    Case(
        "CollectorThrottled",
        {f"collector_rest_throttled_total{{{FMFW}}}": "0+1x30"},
        OF_FMFW,
        "fmfw answered 15 calls with 429",
    ),
    Case("CollectorLoopLate", {f"collector_loop_late_seconds{{{AT}}}": "3x30"}, OF_ALL, "c:8080 stood still for 3s"),
    Case(
        "CollectorPartTroubled",
        {f'collector_part_troubled{{{AT}, part="audit"}}': "1x30"},
        {**OF_ALL, "part": "audit"},
        "audit of c:8080 does not do its work",
    ),
    Case(
        "CollectorLogLost",
        {f"collector_log_lines_lost_total{{{AT}}}": "0x5 7x25"},
        OF_ALL,
        "The log of c:8080 has lost lines",
    ),
    Case(
        "CollectorMemoryHigh",
        {f"collector_memory_bytes{{{AT}}}": "2147483648x30"},
        OF_ALL,
        "c:8080 holds 2GiB of memory",
    ),
]

GOOD_DAY = {
    f"up{{{AT}}}": "1x60",
    f"collector_healthy{{{AT}}}": "1x60",
    f"collector_ready{{{AT}}}": "0 0 1x60",  # it starts
    f'collector_connection_state{{{LINE}, state="live"}}': "1x20 0 1x40",  # a line is cut and made again
    f'collector_connection_state{{{LINE}, state="waiting"}}': "0x20 1 0x40",
    f'collector_losses_total{{{LINE}, kind="cut"}}': "0x20 1x40",
    f"collector_last_frame_age_seconds{{{LINE}}}": "1x60",
    f"collector_worker_failures_total{{{FMFW}}}": "0x60",
    f'collector_subscriptions{{{FMFW}, stream="trades", state="refused"}}': "0x60",
    f"collector_venue_problems{{{FMFW}}}": "0x60",
    f"collector_database_connected{{{AT}}}": "1x30 0 1x30",  # restarted
    f"collector_journal_backlog_seconds{{{AT}}}": "0.1x30 60 30 0.1x30",
    f'collector_commit_lag_seconds_bucket{{{AT}, le="2"}}': "0+100x60",
    f'collector_commit_lag_seconds_bucket{{{AT}, le="+Inf"}}': "0+100x60",
    f"collector_journal_fault{{{AT}}}": "0x60",
    f"collector_journal_full{{{AT}}}": "0x60",
    f"collector_journal_refusing{{{AT}}}": "0x60",
    f"collector_items_add_up{{{AT}}}": "1x60",
    f'collector_items_total{{{AT}, table="trades", outcome="quarantined"}}': "7x60",
    f"collector_venue_clock_offset_seconds{{{FMFW}}}": "0.04x60",
    f"collector_rest_throttled_total{{{FMFW}}}": "0x20 1x40",
    f"collector_loop_late_seconds{{{AT}}}": "0.01x60",
    f"collector_log_lines_lost_total{{{AT}}}": "0x60",
    f'collector_part_troubled{{{AT}, part="page"}}': "0x20 1x5 0x35",
    f"collector_memory_bytes{{{AT}}}": "150000000x60",
}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = subprocess.run(
        [ROOT / "scripts/debian-program", "prometheus", "promtool"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or pytest.skip(f"promtool is not to be had: {found.stderr.strip()[-200:]}")


def test_of(series: dict[str, str], at: str, expected: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": alert, "exp_alerts": expected.get(alert, [])} for alert in ALERTS
        ],
    }


test_of.__test__ = False  # type: ignore[attr-defined]


def run_tests(promtool: str, folder: Path, tests: list[dict[str, Any]]) -> None:
    path = folder / "tests.yml"
    path.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests})
    )  # JSON is YAML
    done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_and_rules_are_valid(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "config", str(FOLDER / "prometheus.yml")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_alert_fires_alone_and_says_what_is_wrong(promtool: str, tmp_path: Path, case: Case) -> None:
    rule = ALERTS[case.alert]
    told = {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {
            "summary": case.summary,
            "description": rule["annotations"]["description"].replace("{{ $labels.venue }}", "fmfw"),
        },
    }
    run_tests(promtool, tmp_path, [test_of(case.series, "20m", {case.alert: [told]})])


@pytest.mark.parametrize("at", ["1m", "22m", "32m", "60m"])
def test_nothing_fires_on_a_good_day(promtool: str, tmp_path: Path, at: str) -> None:
    run_tests(promtool, tmp_path, [test_of(GOOD_DAY, at, {})])


def test_every_alert_is_tried_and_told_of() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()

    assert [case.alert for case in CASES] == list(ALERTS)
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(ALERTS)


def test_rules_ask_only_for_metrics_that_there_are() -> None:
    documented = set(re.findall(r"^\| `(collector_\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    asked = {name for rule in ALERTS.values() for name in re.findall(r"collector_\w+", rule["expr"])}

    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= documented
