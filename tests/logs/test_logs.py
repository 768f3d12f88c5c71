"""The log: one line an event, for people or machines, and never a secret in it."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretBytes, SecretStr

from collector.logs import LINES_PER_MINUTE_MAX, configure, limiter, redactor, sink

Configured = Callable[..., io.StringIO]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configured() -> Iterator[Configured]:
    root = logging.getLogger()
    kept = root.handlers[:], root.level

    def to(stream: io.StringIO | None = None, **options: Any) -> io.StringIO:
        stream = stream or io.StringIO()
        configure(stream=stream, **options)
        return stream

    yield to
    structlog.reset_defaults()
    root.handlers[:], root.level = kept[0], kept[1]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_facts(configured: Configured) -> None:
    stream = configured()

    structlog.get_logger(venue="fmfw").info("connected", attempts=3, path=object)

    (event,) = lines(stream)
    assert event["event"] == "connected"
    assert event["level"] == "info"
    assert (event["venue"], event["attempts"]) == ("fmfw", 3)
    assert event["timestamp"].endswith("Z")


def test_a_terminal_gets_lines_for_people(configured: Configured) -> None:
    stream = configured(Terminal())

    structlog.get_logger().info("connected", venue="fmfw")

    assert "connected" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_terminal_gets_json_where_that_is_asked_for(configured: Configured) -> None:
    stream = configured(Terminal(), form="json")

    structlog.get_logger().info("connected")

    assert lines(stream)


def test_what_is_below_the_level_is_not_told(configured: Configured) -> None:
    stream = configured(level="warning")

    structlog.get_logger().info("connected")
    structlog.get_logger().warning("cut")

    assert [event["event"] for event in lines(stream)] == ["cut"]


def test_libraries_are_heard_from_warning_on_in_the_same_form(configured: Configured) -> None:
    stream = configured(level="debug", secrets=["hunter2hunter2"])

    logging.getLogger("some.library").info("a step")
    logging.getLogger("some.library").warning("login %s refused", "hunter2hunter2")

    (event,) = lines(stream)
    assert (event["event"], event["logger"]) == ("login *** refused", "some.library")


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_comes_without_local_variables_and_without_secrets(configured: Configured, form: str) -> None:
    stream = configured(form=form, secrets=["hunter2hunter2"])

    def fail() -> None:
        local = "only" + "here"
        raise ValueError(f"hunter2hunter2 postgresql://u:inside@h/db {len(local)}")

    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")

    told = stream.getvalue()
    assert "ValueError" in told
    assert "postgresql://u:***@h/db" in told
    for hidden in ("onlyhere", "hunter2", "inside"):
        assert hidden not in told.replace('"only" + "here"', "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (SecretStr("x"), "***"),
        (SecretBytes(b"x"), "***"),
        ("postgresql://u:p@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("from postgres://u:p/w@x@h/db to wss://h:443/path", "from postgres://u:***@h/db to wss://h:443/path"),
        ("https://h:8080/a?token=abc&b=1", "https://h:8080/a?token=***&b=1"),
        ("the token=abc is old", "the token=*** is old"),
        ("say hunter2hunter2!", "say ***!"),
        (b"hunter2hunter2", "***"),
        ({"deep": [{"in": "hunter2hunter2"}]}, {"deep": [{"in": "***"}]}),
        (ValueError("hunter2hunter2"), "***"),
        ("BTCUSDT", "BTCUSDT"),
        (1.5, 1.5),
        (None, None),
        (True, True),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(value: Any, shown: Any) -> None:
    event = redactor(["hunter2hunter2", "hunter2", "abc"])(None, "info", {"event": "x", "fact": value})

    assert isinstance(event, dict)
    assert event["fact"] == shown


@pytest.mark.parametrize("name", ["password", "token", "secret"])
def test_a_field_named_like_a_secret_is_hidden(name: str) -> None:
    assert redactor()(None, "info", {name: "plain"}) == {name: "***"}


def test_what_others_said_gives_a_terminal_no_orders(configured: Configured) -> None:
    evil = "\x1b[2J\x9b31m\u202e\n[warning] not ours"
    stream = configured(form="console")
    log = structlog.get_logger()

    log.warning("connection_lost", reason=evil, losses=[evil], kinds={evil: evil})
    logging.getLogger("some.library").warning("it said %s", evil)
    log.error("look_failed", exc_info=ValueError(evil))

    told = stream.getvalue()
    assert not [one for one in told if one != "\n" and not one.isprintable()]
    assert "\n[warning]" not in told
    assert "reason='\\x1b[2J\\x9b31m\\u202e\\n[warning] not ours'" in told


@pytest.mark.parametrize("form", ["json", "console"])
def test_missing_lines_are_told_in_the_form_of_the_others(form: str, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as file:
        configure(form=form, stream=file)
        made = sink.of(file)
        assert isinstance(made, sink.Sink)
        assert made.mark is not None
        line = made.mark(17)
        made.end(0)
    assert line.endswith("\n")
    assert "log_lines_lost" in line
    assert (json.loads(line)["count"] if form == "json" else "count=17" in line) in (17, True)


# -- what repeats ------------------------------------------------------------------------------------------------------


def test_a_fault_that_repeats_is_held_back_and_counted(configured: Configured) -> None:
    time = [0.0]
    limit = limiter(3, lambda: time[0])
    told: list[dict[str, Any]] = []

    def tell(event: str) -> None:
        with contextlib.suppress(structlog.DropEvent):
            passed = limit(None, "error", {"event": event})
            assert isinstance(passed, dict)
            told.append(dict(passed))

    for _ in range(10):
        time[0] += 1
        tell("journal_damaged")
    tell("other")
    time[0] = 61.0
    tell("journal_damaged")

    assert told == [
        {"event": "journal_damaged"},
        {"event": "journal_damaged"},
        {"event": "journal_damaged", "held_back_s": 58.0},
        {"event": "other"},
        {"event": "journal_damaged", "not_told": 7},
    ]


def test_the_log_is_limited_but_not_for_the_curious(configured: Configured) -> None:
    for level, expected in (("info", LINES_PER_MINUTE_MAX), ("debug", 1000)):
        stream = configured(level=level)
        log = structlog.get_logger()
        for number in range(1000):
            log.info("segment_deleted", segment=number)
        assert len(lines(stream)) == expected


def test_what_libraries_tell_is_limited_as_well(configured: Configured) -> None:
    stream = configured()
    for number in range(LINES_PER_MINUTE_MAX + 300):
        logging.getLogger("aiohttp.server").error("Error handling request from %s", number)
    logging.getLogger("aiohttp.server").error("something else: %s", "x")

    told = [line["event"] for line in lines(stream)]
    assert len(told) == LINES_PER_MINUTE_MAX + 1
    assert told[-2].startswith(f"Error handling request from {LINES_PER_MINUTE_MAX - 1} (held_back_s=")
    assert told[-1] == "something else: x"


# -- the page ----------------------------------------------------------------------------------------------------------

LEVELS = {"debug", "info", "warning", "error", "exception"}
ROOT = Path(__file__).parents[2]


def told_by(source: Path) -> Iterator[tuple[str, set[str], set[str]]]:
    """Every event that a source file tells: its name, levels and fields."""
    tree = ast.parse(source.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    # `tell = log.debug if .. else log.warning`, and a method that is given the event's name.
    chosen = {
        part.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["tell"]
        for part in ast.walk(node.value)
        if isinstance(part, ast.Attribute) and getattr(part.value, "id", "") in ("log", "_log")
    }
    for call in calls:
        match call.func:
            case ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level) if level in LEVELS:
                levels = {level}
            case ast.Name(id="tell") if chosen:
                levels = chosen
            case ast.Attribute(value=ast.Name(id="self"), attr="_trouble"):
                levels = {"warning"}
            case _:
                continue
        fields = {keyword.arg for keyword in call.keywords if keyword.arg not in (None, "exc_info")}
        if getattr(call.func, "attr", "") == "_trouble":
            fields |= {"venue", "reason"}
        names = [one.value for one in ast.walk(call.args[0]) if isinstance(one, ast.Constant)]
        for name in names:
            assert isinstance(name, str), f"{source}: an event's name is a text"
            yield name, {"error" if level == "exception" else level for level in levels}, fields


@pytest.mark.slow
def test_the_page_has_every_event_with_its_levels_and_fields() -> None:
    told: dict[str, tuple[set[str], set[str]]] = {}
    for source in sorted((ROOT / "collector").rglob("*.py")):
        for name, levels, fields in told_by(source):
            known = told.setdefault(name, (set(), set()))
            known[0].update(levels)
            known[1].update(fields)
    page = (ROOT / "docs" / "logs.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|(.*?)\| (.+) \|$", page, re.MULTILINE)
    documented = {
        name: (set(levels.split(", ")), set(re.findall(r"`(\w+)`", fields))) for name, levels, fields, _ in rows
    }

    assert len(rows) > 50
    assert [name for name, *_ in rows] == sorted(documented), "once each, in order"
    assert documented == told


@pytest.mark.slow
def test_an_event_is_named_in_one_word_and_told_as_a_constant() -> None:
    """A line whose name is put together could be found neither on the page nor by a search."""
    for source in sorted((ROOT / "collector").rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level), args=[first, *more]
                ) if level in LEVELS:
                    assert not more, f"{source}:{node.lineno}: facts are fields"
                    assert not isinstance(first, ast.JoinedStr | ast.BinOp), f"{source}:{node.lineno}"
