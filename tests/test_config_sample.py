"""The sample configuration says what the models say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from collector.config import load
from collector.config.sample import sample

SAMPLE = Path(__file__).parents[1] / "collector.example.toml"


def test_the_sample_file_is_up_to_date() -> None:
    told = "write it anew: python -m collector.config.sample > collector.example.toml"
    assert SAMPLE.read_text() == sample(), told


def test_the_sample_works_as_it_is(tmp_path: Path) -> None:
    config = load(SAMPLE, {}, docker_secrets=tmp_path)

    assert list(config.venues) == ["fmfw"]
    assert config.http == type(config.http)()


def test_every_default_in_the_sample_is_the_real_one(tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text("\n".join(switched_on(sample())))

    everything = load(tmp_path / "all.toml", {}, docker_secrets=tmp_path)

    plain = load(SAMPLE, {}, docker_secrets=tmp_path)
    assert everything.venues["fmfw"].settings.model_copy(update={"adapter": None}) == plain.venues["fmfw"].settings
    for section in ("http", "journal", "writer", "log"):
        assert getattr(everything, section) == getattr(plain, section)
        assert len(getattr(everything, section).model_fields_set) == len(type(getattr(plain, section)).model_fields)


def switched_on(text: str) -> Iterator[str]:
    """Give the lines with every key uncommented, but for the venues that are for the reader to choose."""
    off = False
    for line in text.splitlines():
        off = line.startswith("# [") or (off and not line.startswith("["))
        yield line[1:] if not off and line.startswith("#") and line[1:2].isalpha() else line
