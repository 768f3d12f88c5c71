"""What a journal's entries mean: what is laid out is read back, and so is what earlier versions laid out."""

from __future__ import annotations

import orjson
import pytest

from collector.model import GapOutcome, GapState, Instrument
from collector.normalise.entries import (
    Answer,
    Asked,
    Carried,
    ClockSet,
    Closing,
    GapsClosed,
    Note,
    NotKept,
    ReadSlowly,
    Started,
    decode_note,
    encode_header,
    encode_note,
)
from collector.normalise.wanted import Span
from tests.kit.headers import session_header

OUTCOME = GapOutcome(Instrument("fmfw", "BTCUSDT"), "trades", 1, "disconnect", GapState.REPAIRED, "5", 9, None)
SPANS: list[Span] = [(1, "trades", ["BTCUSDT"])]


@pytest.mark.parametrize(
    "note",
    [
        Started(["finam", "fmfw"]),
        Started(),
        Asked("fmfw", SPANS, True),
        ReadSlowly(17),
        ReadSlowly(None),
        NotKept(200, "KeyError"),
        ClockSet(-5_000_000_000),
        GapsClosed([OUTCOME]),
    ],
)
def test_a_note_is_read_as_it_was_written(note: Note) -> None:
    assert decode_note(encode_note(note)) == note


@pytest.mark.parametrize("note", [{"event": "last session"}, {"event": "of a later version", "more": 1}, {}])
def test_a_note_that_is_not_known_tells_nothing(note: dict[str, object]) -> None:
    assert decode_note(orjson.dumps(note)) is None


def test_an_answer_keeps_its_body_to_the_byte() -> None:
    answer = Answer({"channel": "rest:trades", "params": {"symbol": "A"}, "status": 200}, b'{"a":\n1}\n')

    assert Answer.decode(answer.encode()) == answer


@pytest.mark.parametrize("carried", [Carried({"venue": "fmfw"}, 12), Carried({"venue": "fmfw"}, 3, 1_700)])
def test_a_carried_session_is_read_as_it_was_written(carried: Carried) -> None:
    assert Carried.decode(carried.encode()) == carried


def test_a_carried_session_of_before_and_one_that_is_no_object_can_be_read() -> None:
    assert Carried.decode(encode_header(session_header({"venue": "fmfw"}))) == Carried(
        session_header({"venue": "fmfw"}).to_json()
    )
    assert Carried.decode(b"[5]") == Carried([5])


@pytest.mark.parametrize("closing", [Closing("the line was cut"), Closing("no room", "disk full")])
def test_an_end_is_read_as_it_was_written(closing: Closing) -> None:
    assert Closing.decode(closing.encode()) == closing
    assert ("cause" in orjson.loads(closing.encode())) == (closing.cause is not None)
