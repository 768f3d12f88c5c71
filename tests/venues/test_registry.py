"""Adapters are found by name, ours and others', and refused by name where they cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from collector import venues
from collector.config import load
from collector.errors import ConfigError
from collector.venues import registry
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.audit import MinuteCalls
from collector.venues.header import SessionHeader
from collector.venues.registry import UnusableAdapterError, checked
from collector.venues.rest import Discovery
from collector.venues.roles import Conversation, Parser


class GoodVenue(Venue[VenueSettings]):
    def discover(self) -> Discovery:
        raise NotImplementedError

    def conversation(self, *_: Any) -> Conversation:
        raise NotImplementedError


class Good(Adapter[VenueSettings]):
    name: ClassVar[str] = "good"
    settings: ClassVar[type[VenueSettings]] = VenueSettings
    venue: ClassVar[type[Venue[Any]]] = GoodVenue

    def parser(self, header: SessionHeader) -> Parser:
        raise NotImplementedError


class Undiscovering(Venue[VenueSettings]):
    def conversation(self, *_: Any) -> Conversation:
        raise NotImplementedError


class Mute(Venue[VenueSettings]):
    def discover(self) -> Discovery:
        raise NotImplementedError


def test_good_adapter_is_taken() -> None:
    adapter = Good()
    assert checked(adapter, "good", "of a test") is adapter
    assert adapter.begin("mine", VenueSettings(adapter=None, enabled=True)).name == "mine"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"venue": Undiscovering}, "Undiscovering lacks discover"),
        ({"venue": Mute}, "Mute has neither conversation nor polling"),
        ({"venue": 7}, "Bad.venue is no Venue"),
        ({"settings": dict}, "Bad.settings is no VenueSettings"),
        ({"name": "other"}, "Bad.name is 'other', and it is found as 'good'"),
        ({"historic": frozenset({"trades"})}, "GoodVenue lacks history, which Bad promises"),
        ({"minute_calls": MinuteCalls(1, 1)}, "GoodVenue lacks minutes, which Bad promises"),
    ],
)
def test_what_is_missing_is_told_by_name(changed: dict[str, Any], reason: str) -> None:
    bad = type("Bad", (Good,), changed)
    with pytest.raises(UnusableAdapterError, match="the adapter 'good' \\(of a test\\) cannot be used") as caught:
        checked(bad(), "good", "of a test")
    assert reason in str(caught.value)


def test_all_that_is_missing_is_told_at_once() -> None:
    bare = type("Bare", (Adapter,), {"parser": lambda self, header: None})
    with pytest.raises(UnusableAdapterError) as caught:
        checked(bare(), "bare", "of a test")
    assert "Bare lacks name; Bare lacks settings; Bare lacks venue" in str(caught.value)


def test_what_is_no_adapter_is_refused() -> None:
    with pytest.raises(UnusableAdapterError, match="is no collector"):
        checked(object(), "x", "of a test")


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of other distributions, which Python sees."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for cached in (registry.names, registry.find, registry._own, registry._others):
        cached.cache_clear()
    yield tmp_path
    for cached in (registry.names, registry.find, registry._own, registry._others):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.startswith("someones_")]:
        del sys.modules[name]


def distribution(folder: Path, name: str, module: str, source: str, entry: str) -> None:
    (folder / f"{module}.py").write_text(source)
    about = folder / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(f"[collector.venues]\n{entry}\n")


def test_broken_package_is_named_with_its_error_and_costs_no_other_venue(others: Path) -> None:
    distribution(others, "broken", "someones_broken", "raise ImportError('gone')", "broken = someones_broken:A")
    assert "broken" in venues.names()
    assert "fmfw" in venues.names()
    with pytest.raises(UnusableAdapterError, match=r"of broken 1\.2.*ImportError: gone"):
        venues.find("broken")
    path = others / "collector.toml"
    path.write_text('[venues.mine]\nadapter = "broken"\n[venues.fmfw]\nsymbols = ["BTCUSDT"]\n')
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert "the adapter 'broken' (of broken 1.2) cannot be used" in str(caught.value)
    path.write_text('[venues.fmfw]\nsymbols = ["BTCUSDT"]\n')
    assert load(path, {}).venues["fmfw"].begin().name == "fmfw"


def test_nobody_takes_the_name_of_one_of_ours(others: Path) -> None:
    distribution(others, "thief", "someones_thief", "raise SystemExit('imported')", "fmfw = someones_thief:A")
    assert venues.names().count("fmfw") == 1
    assert type(venues.find("fmfw")).__name__ == "FmfwAdapter"


def test_name_that_nobody_has_is_a_key_error(others: Path) -> None:
    with pytest.raises(KeyError):
        venues.find("nix")
