"""Write the Grafana dashboards: deploy/grafana/dashboards/*.json is what this file says. A test keeps the two in step.

A panel is a line here and sixty in Grafana's own format, where a change can neither be read nor reviewed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
# What `$instrument` stands for in the queries below.
CHOSEN = "venue = ${venue:sqlstring} and symbol = ${symbol:sqlstring}"
MARKET = {"type": "grafana-postgresql-datasource", "uid": "market"}
WIDTH = 24

Json = dict[str, Any]

GREEN_RED = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
YES_NO = [{"type": "value", "options": {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}}]


def panel(kind: str, title: str, width: int, height: int, *, about: str = "", unit: str = "short", **more: Any) -> Json:
    defaults = {"unit": unit, **more.pop("defaults", {})}
    config = {"defaults": defaults, "overrides": more.pop("overrides", [])}
    return {
        "type": kind,
        "title": title,
        "description": about,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": config,
        **more,
    }


def promql(title: str, *targets: tuple[str, str], width: int = 8, kind: str = "timeseries", **more: Any) -> Json:
    asked = [
        {"refId": chr(65 + n), "expr": expr, "legendFormat": legend, "datasource": PROMETHEUS}
        for n, (expr, legend) in enumerate(targets)
    ]
    return panel(kind, title, width, more.pop("height", 8), datasource=PROMETHEUS, targets=asked, **more)


def verdict(title: str, expr: str, about: str) -> Json:
    return promql(
        title,
        (expr, ""),
        width=4,
        height=4,
        kind="stat",
        about=about,
        defaults={"mappings": YES_NO, "thresholds": {"mode": "absolute", "steps": GREEN_RED}},
        options={"colorMode": "background", "reduceOptions": {"calcs": ["lastNotNull"]}},
    )


def number(title: str, expr: str, *, unit: str = "short", about: str = "") -> Json:
    return promql(
        title,
        (expr, ""),
        width=4,
        height=4,
        kind="stat",
        unit=unit,
        about=about,
        options={"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "none"},
    )


def sql(
    title: str, text: str, *, form: str = "time_series", kind: str = "timeseries", width: int = 12, **more: Any
) -> Json:
    asked = [
        {
            "refId": "A",
            "rawSql": text.strip().replace("$instrument", CHOSEN),
            "rawQuery": True,
            "format": form,
            "editorMode": "code",
            "datasource": MARKET,
        }
    ]
    return panel(kind, title, width, more.pop("height", 9), datasource=MARKET, targets=asked, **more)


def row(title: str) -> Json:
    return {"type": "row", "title": title, "gridPos": {"w": WIDTH, "h": 1}, "collapsed": False, "panels": []}


def variable(name: str, label: str, query: str, *, multi: bool = False) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": MARKET,
        "query": query,
        "refresh": 2,
        "sort": 1,
        "multi": multi,
        "includeAll": multi,
    }


def choice(name: str, label: str, *values: str) -> Json:
    options = [{"text": value, "value": value, "selected": n == 0} for n, value in enumerate(values)]
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "options": options,
        "current": options[0],
    }


def dashboard(uid: str, title: str, about: str, panels: list[Json], *, variables: list[Json], since: str) -> Json:
    x = y = highest = 0
    for number_, one in enumerate(panels, 1):  # left to right, then on
        place = one["gridPos"]
        if x + place["w"] > WIDTH:
            x, y, highest = 0, y + highest, 0
        place.update(x=x, y=y)
        x, highest = x + place["w"], max(highest, place["h"])
        one["id"] = number_
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["collector"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "timezone": "utc",
        "templating": {"list": variables},
        "panels": panels,
    }


def operators() -> Json:
    states = {"mappings": YES_NO, "thresholds": {"mode": "absolute", "steps": GREEN_RED}, "custom": {"fillOpacity": 80}}
    return dashboard(
        "collector-operators",
        "Collector: operation",
        "Whether everything is recorded, and whether it will go on.",
        [
            verdict("Recording", "min(collector_ready)", "Green: every configured venue is being recorded."),
            verdict("Alive", "min(collector_healthy)", "Red: a part is dead; a restart may cure it."),
            verdict("Database", "min(collector_database_connected)", "Red: what is received waits in the journal."),
            verdict("Counts add up", "min(collector_items_add_up)", "Items = stored + duplicates + quarantined."),
            number("Not in the tables yet", "sum(collector_journal_backlog_bytes)", unit="bytes"),
            number("Running since", "max(collector_uptime_seconds)", unit="s"),
            row("Venues"),
            promql(
                "Live connections",
                ('max by (connection) (collector_connection_state{state="live"})', "{{connection}}"),
                kind="state-timeline",
                width=24,
                height=7,
                defaults=states,
                options={"showValue": "never", "mergeValues": True},
            ),
            promql("Frames", ("sum by (venue) (rate(collector_frames_total[1m]))", "{{venue}}"), unit="cps"),
            promql(
                "Age of the newest record",
                ("max by (venue, stream) (collector_last_record_age_seconds)", "{{venue}} {{stream}}"),
                unit="s",
                about="Over all symbols of a stream. A quiet market grows old, too.",
            ),
            promql(
                "Lines lost",
                ("sum by (venue, kind) (increase(collector_losses_total[5m]))", "{{venue}} {{kind}}"),
                about="In five minutes, by kind. Each is a gap in quotes and books.",
            ),
            promql(
                "Subscriptions that do not flow",
                (
                    'sum by (venue, stream, state) (collector_subscriptions{state!="flowing"}) > 0',
                    "{{venue}} {{stream}} {{state}}",
                ),
            ),
            promql(
                "REST calls, share of what we allow ourselves",
                (
                    "rate(collector_rest_calls_total[1m]) / on (instance, venue) collector_rest_allowed_per_second",
                    "{{venue}}",
                ),
                ("rate(collector_rest_throttled_total[1m])", "{{venue}} 429"),
                unit="percentunit",
            ),
            promql(
                "Clock offset",
                ("collector_venue_clock_offset_seconds", "{{venue}}"),
                unit="s",
                about="The least of received less venue time. Below zero, the venue's clock is ahead.",
            ),
            row("From frame to row"),
            promql(
                "Rows stored",
                ('sum by (table) (rate(collector_items_total{outcome="stored"}[1m]))', "{{table}}"),
                unit="cps",
            ),
            promql(
                "Duplicates and quarantine",
                (
                    'sum by (table, outcome) (rate(collector_items_total{outcome!="stored"}[1m]))',
                    "{{table}} {{outcome}}",
                ),
                unit="cps",
            ),
            promql(
                "Receipt to commit",
                ("histogram_quantile(0.5, sum by (le) (rate(collector_commit_lag_seconds_bucket[1m])))", "half"),
                ("histogram_quantile(0.99, sum by (le) (rate(collector_commit_lag_seconds_bucket[1m])))", "99 %"),
                unit="s",
            ),
            promql(
                "Waiting in the journal",
                ("collector_journal_backlog_bytes", "backlog"),
                ("collector_journal_buffered_bytes", "not on disk yet"),
                unit="bytes",
            ),
            promql("Age of the oldest row that is due", ("collector_journal_backlog_seconds", "oldest"), unit="s"),
            promql("Since the last commit", ("collector_last_commit_age_seconds", "age"), unit="s"),
            row("Machine"),
            promql("Processor", ("rate(collector_cpu_seconds_total[1m])", "cores"), unit="percentunit"),
            promql("Memory", ("collector_memory_bytes", "resident"), unit="bytes"),
            promql("Longest standstill", ("collector_loop_late_seconds", "event loop"), unit="s"),
            row("What is missing"),
            sql(
                "Gaps",
                """
select from_time as "time", venue, symbol, stream, cause, coalesce(to_time, now()) - from_time as lasted, state,
       filled_rows, coalesce(trouble, reason) as reason
from v_gaps
where from_time <= $__timeTo() and coalesce(to_time, 'infinity') >= $__timeFrom()
order by from_time desc limit 200
""",
                form="table",
                kind="table",
                width=24,
            ),
            sql(
                "Quarantine",
                """
select received_at as "time", venue, stream, kind, error, items, left(text, 200) as text
from v_quarantine
where resolved_at is null and discarded_reason is null
order by received_at desc limit 100
""",
                form="table",
                kind="table",
                width=24,
            ),
        ],
        variables=[],
        since="now-3h",
    )


def analysts() -> Json:
    candles = {"custom": {"drawStyle": "bars"}}
    return dashboard(
        "collector-market",
        "Collector: market",
        "One instrument: what was recorded, and how whole it is.",
        [
            sql(
                "Candles",
                """
select time, open, high, low, close, volume
from v_candles
where $instrument and interval = ${period:sqlstring}::interval and series = 'trade' and $__timeFilter(time)
order by time
""",
                form="table",
                kind="candlestick",
                width=24,
                height=13,
                options={"mode": "candles+volume", "includeAllFields": False},
                about="The venue's own candles.",
            ),
            sql(
                "Best bid and ask",
                """
select date_bin(make_interval(secs => greatest(1, $__interval_ms / 1000)), time, timestamptz '2000-01-01') as "time",
       avg(bid) as bid, avg(ask) as ask
from v_ticks
where $instrument and $__timeFilter(time)
group by 1 order by 1
""",
            ),
            sql(
                "Spread",
                """
select date_bin(make_interval(secs => greatest(1, $__interval_ms / 1000)), time, timestamptz '2000-01-01') as "time",
       avg(spread) as mean, max(spread) as widest
from v_ticks
where $instrument and $__timeFilter(time) and spread is not null
group by 1 order by 1
""",
            ),
            sql(
                "Volume by aggressor",
                """
select date_bin(make_interval(secs => greatest(60, $__interval_ms / 1000)), time, timestamptz '2000-01-01') as "time",
       sum(size) filter (where side = 1) as bought, sum(size) filter (where side = -1) as sold
from v_trades
where $instrument and $__timeFilter(time)
group by 1 order by 1
""",
                defaults=candles,
            ),
            sql(
                "Trades a minute",
                """
select date_bin('1 minute', time, timestamptz '2000-01-01') as "time", count(*) as trades
from v_trades
where $instrument and $__timeFilter(time)
group by 1 order by 1
""",
                defaults=candles,
            ),
            sql(
                "Coverage",
                """
select greatest(from_time, $__timeFrom()) as "time", stream as metric, state as value
from coverage
where $instrument and from_time <= $__timeTo() and to_time >= $__timeFrom()
order by 1
""",
                kind="state-timeline",
                form="time_series",
                width=24,
                height=7,
                about="Which time of each stream is covered, repaired from the venue's history, missing or lost.",
                options={"showValue": "auto", "mergeValues": True},
            ),
            sql(
                "Newest trades",
                """
select time, price, size, side_text as side, trade_id, received_at - time as late
from v_trades
where $instrument and $__timeFilter(time)
order by time desc limit 50
""",
                form="table",
                kind="table",
            ),
            sql(
                "Gaps",
                """
select from_time as "time", stream, cause, coalesce(to_time, now()) - from_time as lasted, state, filled_rows, reason
from v_gaps
where $instrument and from_time <= $__timeTo() and coalesce(to_time, 'infinity') >= $__timeFrom()
order by from_time desc limit 100
""",
                form="table",
                kind="table",
            ),
            sql(
                "Funding and open interest",
                """
select time, mark_price, index_price, funding_rate, open_interest
from v_derivatives
where $instrument and $__timeFilter(time)
order by time
""",
                width=24,
            ),
        ],
        variables=[
            variable("venue", "Venue", "select code from venues order by 1"),
            variable(
                "symbol",
                "Symbol",
                "select symbol from instruments join venues using (venue_id) where code = ${venue:sqlstring}",
            ),
            choice("period", "Candles", "1 minute", "5 minutes", "15 minutes", "1 hour", "1 day"),
        ],
        since="now-6h",
    )


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for made in (operators(), analysts()):
        path = FOLDER / f"{made['uid'].removeprefix('collector-')}.json"
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
