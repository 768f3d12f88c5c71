"""Keys of the last release are read with a warning, and lengths of time may be written with their unit."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import collector.venues
from collector.config import Config, load
from collector.config.models import Section
from collector.config.sample import sample
from collector.config.shape import alternatives
from collector.errors import ConfigError, Fault
from collector.venues.adapter import VenueSettings

FINAM = '[venues.finam]\nsecret = "s3cret"\nsymbols = ["SBER@MISX"]\n'


def read(tmp_path: Path, text: str, **variables: str) -> Config:
    path = tmp_path / "collector.toml"
    path.write_text(text)
    return load(path, {f"COLLECTOR_{name}": value for name, value in variables.items()}, docker_secrets=tmp_path / "x")


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section of the configuration, and of the sections that adapters describe."""
    for name, field in Config.model_fields.items():
        for kind in alternatives(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield name, kind
    for venue in collector.venues.names():
        yield f"venues.{venue}", collector.venues.find(venue).settings


def renamed_keys() -> list[tuple[str, str, str]]:
    return [
        (section, old, new)
        for section, model in models()
        for old, new in (model.old_keys if issubclass(model, Section | VenueSettings) else {}).items()
    ]


def test_a_file_with_all_old_keys_gives_the_same_settings_and_warns_once_for_each(tmp_path: Path) -> None:
    assert len(renamed_keys()) >= 3
    values = {f"{section}.{new}": 7 for section, _, new in renamed_keys()}
    new_file = FINAM + "".join(f"{name.rpartition('.')[2]} = {value}\n" for name, value in values.items())
    old_file = new_file
    for _, old, new in renamed_keys():
        old_file = old_file.replace(f"\n{new} = ", f"\n{old} = ")

    today, before = read(tmp_path, new_file), read(tmp_path, old_file)

    assert before.model_dump() == today.model_dump()
    assert today.renamed == ()
    assert len(before.renamed) == len(renamed_keys())
    for section, old, new in renamed_keys():
        [warning] = [line for line in before.renamed if line.startswith(f"{section}.{old} ")]
        assert f"is now called {section}.{new};" in warning
        assert str(tmp_path / "collector.toml") in warning


@pytest.mark.parametrize(("section", "old", "new"), renamed_keys())
def test_a_renamed_key_is_gone_from_the_models_and_the_sample(section: str, old: str, new: str) -> None:
    model = dict(models())[section]
    assert new in model.model_fields
    assert old not in model.model_fields
    assert f"#{old} =" not in sample()


def test_an_old_key_in_a_variable_is_read_with_a_warning(tmp_path: Path) -> None:
    config = read(tmp_path, FINAM, VENUES__FINAM__FINAL_SECONDS="9")

    assert config.venues["finam"].settings.grace_seconds == 9  # type: ignore[attr-defined]
    assert config.source["venues.finam.grace_seconds"] == "COLLECTOR_VENUES__FINAM__FINAL_SECONDS"
    [warning] = config.renamed
    assert "venues.finam.grace_seconds" in warning
    assert "COLLECTOR_VENUES__FINAM__FINAL_SECONDS" in warning


def test_an_old_key_in_a_section_that_is_one_variable_is_read_with_a_warning(tmp_path: Path) -> None:
    config = read(tmp_path, FINAM, VENUES='{"finam": {"final_seconds": 9}}')

    assert config.venues["finam"].settings.grace_seconds == 9  # type: ignore[attr-defined]
    assert "COLLECTOR_VENUES" in config.renamed[0]


def test_an_old_key_and_its_new_name_in_one_place_are_a_fault_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, FINAM + "final_seconds = 3\ngrace_seconds = 4")

    assert caught.value.faults == [
        Fault(
            "venues.finam.final_seconds",
            "is the old name of venues.finam.grace_seconds, which is set as well",
            "keep venues.finam.grace_seconds, and delete venues.finam.final_seconds",
        )
    ]


def test_a_variable_overrules_the_file_whichever_names_they_use(tmp_path: Path) -> None:
    for file, variable in (("final_seconds", "GRACE_SECONDS"), ("grace_seconds", "FINAL_SECONDS")):
        config = read(tmp_path, FINAM + f"{file} = 3", **{f"VENUES__FINAM__{variable}": "4"})

        assert config.venues["finam"].settings.grace_seconds == 4  # type: ignore[attr-defined]
        assert len(config.renamed) == 1


def test_a_fault_in_an_old_key_names_it_as_it_was_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, FINAM + "final_seconds = -1")

    assert [fault.key for fault in caught.value.faults] == ["venues.finam.final_seconds"]


@pytest.mark.parametrize(
    ("text", "key", "number"),
    [
        ('[journal]\nsegment_minutes = "2h"', "segment_minutes", 120),
        ('[journal]\nkeep_days = "36h"', "keep_days", 1.5),
        ('[journal]\nsync_ms = "0.25s"', "sync_ms", 250),
        ('[journal]\nkeep_days = "unlimited"', "keep_days", None),
        ("[journal]\nkeep_days = 3", "keep_days", 3),
    ],
)
def test_a_length_of_time_is_a_number_in_its_keys_unit_or_has_its_own(
    tmp_path: Path, text: str, key: str, number: float | None
) -> None:
    assert getattr(read(tmp_path, text).journal, key) == number


def test_a_length_of_time_in_a_variable_or_for_a_whole_number_may_have_its_unit(tmp_path: Path) -> None:
    text = '[venues.metaapi]\ntoken = "t"\nbooks_interval_ms = "2s"\naccounts.a = { id = "i", symbols = ["EURUSD"] }'
    config = read(tmp_path, text, VENUES__METAAPI__REFRESH_SECONDS="10m", AUDIT='{"delay_seconds": "1m"}')

    settings = config.venues["metaapi"].settings
    assert settings.books_interval_ms == 2000  # type: ignore[attr-defined]
    assert settings.refresh_seconds == 600  # type: ignore[attr-defined]
    assert config.audit.delay_seconds == 60


def test_what_is_no_length_of_time_is_told_with_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, '[audit]\ndelay_seconds = "soon"\n[journal]\nsegment_mb = "5m"')

    assert [str(fault.remedy) for fault in caught.value.faults] == [
        "write digits, such as 5",
        'write a number, or a length of time such as "90s", "5m", "2h" or "7d"',
    ]


def test_every_key_says_its_unit_in_one_way() -> None:
    """A number of something is named by its unit at the end; these are the units that there are."""
    units = {"ms", "seconds", "minutes", "hours", "days", "mb", "gb", "rows"}
    spellings = {"sec", "secs", "second", "s", "min", "mins", "minute", "hour", "day", "kb", "mib", "gib", "millis"}
    for section, table in tomllib.loads(all_keys()).items():
        for key in names(table):
            ending = key.rpartition("_")[2]
            assert ending not in spellings or f"per_{ending}" in key, f"{section}: {key}; known are {sorted(units)}"


def all_keys() -> str:
    lines = (line.removeprefix("# ") if line.startswith("# [") else line for line in sample().splitlines())
    return "\n".join(line[1:] if line.startswith("#") and line[1:2].isalpha() else line for line in lines)


def names(table: object) -> Iterator[str]:
    if isinstance(table, dict):
        for key, value in table.items():
            yield key
            yield from names(value)


def test_the_page_lists_every_renamed_key() -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()

    listed = re.findall(r"^\| `(\S+)` \| `(\S+)` \|$", page, re.MULTILINE)

    assert listed == [(f"{section}.{old}", f"{section}.{new}") for section, old, new in renamed_keys()]
