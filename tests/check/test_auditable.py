"""What the doctor says of the audit: each venue by name, with what cannot be audited and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.check import Finding, Verdict
from collector.check.audit import auditable, turn
from collector.config import Config, load
from collector.venues.plan import ConnectionPlan, Plan, Subscription
from tests.kit.headers import session_header

FMFW = '[venues.fmfw]\nsymbols = ["A"]\n'
FINAM = '[venues.finam]\nsecret = "x"\nsymbols = ["SBER@MISX"]\n'
METAAPI = '[venues.metaapi]\ntoken = "x"\n[venues.metaapi.accounts.a]\nid = "1"\nsymbols = ["EURUSD"]\n'


def configured(folder: Path, text: str) -> Config:
    path = folder / "collector.toml"
    path.write_text(f'data_dir = "{folder}"\n{text}')
    return load(path, {})


def told(folder: Path, text: str) -> list[Finding]:
    return list(auditable(configured(folder, text)))


@pytest.mark.parametrize(
    ("text", "subject", "verdict", "words"),
    [
        (
            FMFW,
            "venues.fmfw.audit",
            Verdict.OK,
            ["recorded one-minute candles", "rebuilds books", "compare ticks with"],
        ),
        (
            FMFW + 'streams = ["trades"]',
            "venues.fmfw.audit",
            Verdict.OK,
            ["candles that are fetched: one-minute candles are not"],
        ),
        (
            FMFW + 'streams = ["trades", "candles"]\ncandles = ["1h"]',
            "venues.fmfw.audit",
            Verdict.OK,
            ["that are fetched"],
        ),
        (
            FMFW + 'streams = ["trades"]\n[audit]\nfetch_candles = false',
            "venues.fmfw.audit",
            Verdict.WARNING,
            ["cannot be audited", "audit.fetch_candles is false"],
        ),
        (FMFW + 'streams = ["ticks", "books"]', "venues.fmfw.audit", Verdict.OK, ["no trades are recorded", "ticks"]),
        (
            '[venues.hitbtc]\nadapter = "fmfw"\nsymbols = ["A"]\nstreams = ["trades"]',
            "venues.hitbtc.audit",
            Verdict.OK,
            ["that are fetched"],
        ),
        ('[venues.fmex]\nstreams = ["trades"]', "venues.fmex.audit", Verdict.OK, ["that are fetched"]),
        (
            FINAM + 'streams = ["trades", "books"]',
            "venues.finam.audit",
            Verdict.OK,
            ["that are fetched", "compare books with"],
        ),
        (METAAPI, "venues.metaapi.audit", Verdict.OK, ["its trades cannot be audited: its candles sum up quotes"]),
        (FMFW + "[audit]\nenabled = false", "audit", Verdict.WARNING, ["audit.enabled is false"]),
        (
            FMFW + "[repair]\nenabled = false",
            "audit",
            Verdict.WARNING,
            ["repair.enabled is false", "reported, but not fetched"],
        ),
    ],
)
def test_each_venue_is_told_with_what_cannot_be_audited_and_why(
    tmp_path: Path, text: str, subject: str, verdict: Verdict, words: list[str]
) -> None:
    [one] = [finding for finding in told(tmp_path, text) if finding.subject == subject]
    assert one.verdict is verdict
    assert all(word in one.text for word in words), one.text
    assert bool(one.remedy) == (verdict is Verdict.WARNING)


def test_venue_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    assert told(tmp_path, FMFW + "enabled = false") == []


@pytest.mark.parametrize(
    ("text", "count", "minutes"),
    [
        (FMFW + 'streams = ["trades"]', 1228, None),  # thirteen calls
        (FINAM + 'streams = ["trades"]', 40, None),
        (FINAM + 'streams = ["trades"]', 160, 16),  # ten a minute are for the past
        (FINAM + 'streams = ["trades"]\n[audit]\nfetch_per_minute = 2', 40, 20),
        (FINAM, 160, None),  # recorded
    ],
)
def test_turn_that_takes_long_is_told(tmp_path: Path, text: str, count: int, minutes: int | None) -> None:
    config = configured(tmp_path, text)
    symbols = tuple(f"S{number}@MISX" for number in range(count))
    plan = Plan((ConnectionPlan("x", "ws://x", (Subscription("trades", "trades", symbols),), session_header({})),))
    found = list(turn(next(iter(config.venues)), config, plan))
    assert [one.verdict for one in found] == ([] if minutes is None else [Verdict.WARNING])
    assert minutes is None or f"take {minutes} minutes to fetch" in found[0].text
