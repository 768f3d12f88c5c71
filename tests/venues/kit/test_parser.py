"""What parsers do around their readers: requests in quarantine, and bars that the clock closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from collector.model import Records
from collector.venues.events import Event
from collector.venues.kit.parser import BarParser, Reply
from collector.venues.kit.session import NEVER_US, SessionState


class Bars:
    """A reader of candles that notes when it was asked to close some."""

    def __init__(self, due_us: int) -> None:
        self.due_us = due_us
        self.asked_us: list[int] = []

    def close_due(self, received_us: int, out: Records) -> int:
        self.asked_us.append(received_us)
        return self.due_us


class Parser(BarParser):
    """Understands nothing."""

    def __init__(self, *readers: Bars) -> None:
        super().__init__(SessionState("v", None))
        self.readers = readers

    @property
    def due_ns(self) -> int:
        return self._context.due_ns

    @due_ns.setter
    def due_ns(self, due_ns: int) -> None:
        self._context.due_ns = due_ns

    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        self._context.reject(out, None, "bad", reply.body, reply.received_us)
        self._context.reject(out, None, "another", b"other", reply.received_us)
        return ()

    def _candle_readers(self) -> Sequence[Bars]:
        return self.readers

    def read(self, payload: bytes, out: Records) -> dict[str, Any] | None:
        return self._object(orjson.loads, payload, 1, out)


def test_quarantine_names_the_request_of_an_answer_and_leaves_other_entries_alone() -> None:
    parser, out = Parser(), Records()
    parser._context.reject(out, None, "before", b"before", 0)
    parser.rest("c", {"from": "1"}, b"{}", 1000, out)
    payloads = [bad.payload for bad in out.quarantine]
    assert payloads == [b"before", b'{"channel":"c","params":{"from":"1"}}\n{}', b"other"]


def test_bars_are_asked_for_once_one_is_due_and_then_not_before_the_next() -> None:
    early, late = Bars(5000), Bars(9000)
    parser, out = Parser(early, late), Records()
    parser.due_ns = 2_000_000
    parser.beat(1_999_999, out)
    assert early.asked_us == []
    parser.beat(2_000_000, out)
    assert (early.asked_us, late.asked_us) == ([2000], [2000])
    assert parser.due_ns == 5_000_000
    parser.rest("c", {}, b"", 5_000_000, out)
    assert early.asked_us == [2000, 5000]


def test_without_readers_nothing_is_due() -> None:
    parser = Parser()
    parser.due_ns = 0
    parser.beat(1, Records())
    assert parser.due_ns == NEVER_US * 1000


@pytest.mark.parametrize(("payload", "reason"), [(b"{", "not JSON"), (b"[1]", "[1] is not an object")])
def test_a_message_that_is_no_object_goes_to_quarantine(payload: bytes, reason: str) -> None:
    parser, out = Parser(), Records()
    assert parser.read(payload, out) is None
    assert reason in out.quarantine[0].error


def test_a_message_that_is_an_object_is_returned() -> None:
    out = Records()
    assert Parser().read(b'{"a":1}', out) == {"a": 1}
    assert out.items == 0
