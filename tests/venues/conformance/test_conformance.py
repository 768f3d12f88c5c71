"""The kit passes our own adapters on what they have recorded, and finds what is wrong with others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collector import venues
from collector.model import Records
from collector.venues.conformance.__main__ import app
from collector.venues.conformance.checks import CHECKS, Trial, problems
from collector.venues.conformance.sessions import Received, TriedSession, of_journal
from collector.venues.events import Event
from collector.venues.fmfw import ADAPTER, FmfwParser
from collector.venues.header import SessionHeader
from collector.venues.specimens import Frame

KEPT = Path(__file__).parents[2] / "kept" / "2026-12"
TRADE = b'{"ch":"trades","update":{"BTCUSDT":[{"t":1714979280%03d,"i":%d,"p":"1.5","q":"2","s":"buy"}]}}'


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fmfw", "fmex", "metaapi", "finam"])
def test_our_adapters_are_what_they_have_to_be(name: str) -> None:
    adapter = venues.find(name)
    trial = Trial(adapter, None, None, None, of_journal(adapter, KEPT), spoilt=150)
    assert [problem for check in CHECKS for problem in problems(trial, check)] == []


def trial(parser: Callable[[SessionHeader], Any]) -> Trial:
    class Adapter(type(ADAPTER)):  # type: ignore[misc]
        def parser(self, header: SessionHeader) -> Any:
            return parser(header)

    frames = [Received(1714979281_000_000_000 + n, Frame(TRADE % (n, 100 + n))) for n in range(20)]
    told = {"venue": "fmfw", "adapter": "fmfw", "symbols": ["BTCUSDT"]}
    return Trial(Adapter(), None, None, None, [TriedSession(told, frames)], spoilt=200)


class Plain(FmfwParser):
    """The parser as it is."""


class ByReceipt(FmfwParser):
    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        known = len(out.trades)
        events = super().frame(payload, received_ns, out)
        out.trades[known:] = [trade._replace(trade_key=received_ns % 10**15) for trade in out.trades[known:]]
        return events


class OneForAll(FmfwParser):
    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        known = len(out.trades)
        events = super().frame(payload, received_ns, out)
        out.trades[known:] = [trade._replace(trade_key=1, time_us=1714979280_000_000) for trade in out.trades[known:]]
        return events


class Raising(FmfwParser):
    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        payload.decode()
        return super().frame(payload, received_ns, out)


class Miscounting(FmfwParser):
    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        out.items += 1
        return super().frame(payload, received_ns, out)


class Floating(FmfwParser):
    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        known = len(out.trades)
        events = super().frame(payload, received_ns, out)
        out.trades[known:] = [trade._replace(price=float(trade.price)) for trade in out.trades[known:]]  # type: ignore[arg-type]
        return events


_random: list[int] = []


class Remembering(FmfwParser):
    """Its state is the module's: nothing of it is the session's own."""

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        _random.append(1)
        known = len(out.trades)
        events = super().frame(payload, received_ns, out)
        out.trades[known:] = [trade._replace(trade_id=str(len(_random))) for trade in out.trades[known:]]
        return events


class Shared(FmfwParser):
    """Its forks share what was seen."""

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        known = len(out.trades)
        events = super().frame(payload, received_ns, out)
        self.counts.append(1)
        out.trades[known:] = [trade._replace(trade_id=str(len(self.counts))) for trade in out.trades[known:]]
        return events

    counts: list[int]

    @classmethod
    def begin(cls, header: SessionHeader) -> Any:
        parser = super().begin(header)
        parser.counts = []
        return parser

    def fork(self) -> Any:
        copy = super().fork()
        copy.counts = self.counts
        return copy


@pytest.mark.parametrize(
    ("parser", "check"),
    [
        (Plain, set()),
        (ByReceipt, {"key"}),
        (OneForAll, {"key"}),
        (Raising, {"never_raises"}),
        (Miscounting, {"never_raises", "counts"}),
        (Floating, {"values"}),
        (Remembering, {"deterministic", "fork"}),
        (Shared, {"fork"}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_is_wrong_is_found(parser: type[FmfwParser], check: set[str]) -> None:
    tried = trial(parser.begin)
    assert {problem.check for each in CHECKS for problem in problems(tried, each)} == check


@pytest.mark.slow
def test_command_tells_the_outcome_and_what_to_do_without_anything_to_try() -> None:
    runner = CliRunner()
    good = runner.invoke(app, ["fmex", "--journal", str(KEPT), "--spoilt", "20", "--json"])
    assert good.exit_code == 0
    assert json.loads(good.stdout)["problems"] == []
    shown = runner.invoke(app, ["fmex", "--journal", str(KEPT), "--spoilt", "20"])
    assert "it is what it has to be" in shown.stdout
    nothing = runner.invoke(app, ["fmfw"])
    assert nothing.exit_code == 2
    assert "--journal" in nothing.stderr
    assert runner.invoke(app, ["nix"]).exit_code == 2
