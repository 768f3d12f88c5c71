"""A parser of plain messages never raises, and counts everything once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from collector.model import Records
from collector.venues.events import Event
from collector.venues.kit.plain import PlainParser
from tests.kit.headers import session_header

GOOD = {"symbol": "AB", "id": 7, "time": 1_700_000_000_000, "price": "1.50", "size": "2", "side": "sell"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Trades(PlainParser):
    def read(self, message: dict[str, Any], received_ns: int, out: Records) -> Sequence[Event]:
        self.trade(message, "trades", received_ns, out)
        return ()

    def read_answer(self, channel: str, params: Any, content: Any, received_ns: int, out: Records) -> Sequence[Event]:
        for item in content:
            self.trade(item, "trades", received_ns, out)
        return ()


def parser() -> Trades:
    return Trades(session_header({"venue": "toy", "symbols": ["AB"]}))


def test_trade_is_a_row_with_the_venue_s_digits_and_a_key_of_its_id() -> None:
    one, out = parser(), Records()
    one.frame(orjson.dumps(GOOD), 5_000, out)
    one.frame(orjson.dumps(GOOD), 9_000, out)
    first, second = out.trades
    assert (first.price, first.size, first.side, first.trade_id, first.received_us) == ("1.50", "2", -1, "7", 5)
    assert first.trade_key == second.trade_key
    assert one.last_seen == {"trades": {"AB": 9_000}}


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_other_value_is_a_row_or_in_quarantine(name: str, value: Any) -> None:
    out = Records()
    try:
        payload = orjson.dumps({**GOOD, name: value})
    except TypeError:  # half of a surrogate pair
        return
    parser().frame(payload, 5_000, out)
    assert out.items == 1 == len(out.trades) + len(out.quarantine)
    for bad in out.quarantine:
        assert bad.error.encode()


@given(st.binary(max_size=80))
def test_any_bytes_are_counted_once(payload: bytes) -> None:
    out = Records()
    parser().frame(payload, 5_000, out)
    assert out.items == 1 == len(out.quarantine)


def test_answer_that_is_half_bad_keeps_what_was_read_and_quarantines_itself_with_its_request() -> None:
    out = Records()
    parser().rest("past", {"n": "2"}, orjson.dumps([GOOD, {**GOOD, "price": 1.5}]), 5_000, out)
    [bad] = out.quarantine
    assert (len(out.trades), out.items) == (1, 2)
    assert bad.payload.startswith(b'{"channel":"past","params":{"n":"2"}}\n[')
    assert "price: 1.5 is not a decimal number as text" in bad.error


def test_copy_goes_its_own_way() -> None:
    one = parser()
    copy = one.fork()
    copy.frame(orjson.dumps(GOOD), 5_000, Records())
    assert one.last_seen == {}
    assert copy.last_seen == {"trades": {"AB": 5_000}}
