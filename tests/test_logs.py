"""The log: one line an event, for people or machines, and never a secret in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretBytes, SecretStr

from collector.logs import configure, redactor

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

    assert event["fact"] == shown


@pytest.mark.parametrize("name", ["password", "token", "secret"])
def test_a_field_named_like_a_secret_is_hidden(name: str) -> None:
    assert redactor()(None, "info", {name: "plain"}) == {name: "***"}
