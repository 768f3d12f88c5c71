"""Commands print through one door, and end quietly when nobody reads what they say."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.table import Table

from collector.cli.output.screen import READER_GONE_STATUS, Screen, styled

PACKAGE = Path(__file__).parents[3] / "collector"
PRINTING = sorted([*(PACKAGE / "cli").rglob("*.py"), PACKAGE / "demo" / "demo.py"])


def test_texts_in_every_place_of_a_table_are_texts(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[b]head[/b]\x1b", title="[b]title[/b]\x1b", caption="[/] \x1b")
    table.add_row("[red]cell[/red]\x1b", end_section=True)
    Screen(width=60).print(table, "[i]text\x1b", style="bold")

    told = capsys.readouterr().out
    for text in ("[b]head[/b]\\x1b", "[b]title[/b]\\x1b", "[/] \\x1b", "[red]cell[/red]\\x1b", "[i]text\\x1b"):
        assert text in told
    assert "\x1b" not in told


def test_what_is_styled_is_text_all_the_same() -> None:
    text = styled("[red]\x1b", "bold")
    assert (text.plain, text.style) == ("[red]\\x1b", "bold")


# -- the one door ------------------------------------------------------------------------------------------------------


def ways_around(source: str) -> Iterator[str]:
    """Yield what prints, or makes something to print, without the screen."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="Console" | "Text" | "print" | "rprint" as name)):
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id="typer"), attr="echo" | "secho" as name)):
                yield f"typer.{name}"
            case ast.Attribute(attr="from_markup" | "from_ansi" | "render_markup" as name):
                yield name
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr"), attr="write"):
                yield "sys.stdout.write"
            case ast.keyword(arg="markup" | "emoji" | "highlight" as name):
                yield f"{name}="


@pytest.mark.parametrize("path", PRINTING, ids=lambda path: path.stem)
def test_everything_is_printed_by_the_screen(path: Path) -> None:
    if path.stem != "screen":
        assert not list(ways_around(path.read_text()))


def test_a_way_around_is_found() -> None:
    source = "Console(markup=False)\nText(x)\ntyper.echo(x)\nsys.stderr.write(x)\nText.from_markup(x)\nprint(x)"
    assert len(set(ways_around(source))) == 7


# -- readers that go ---------------------------------------------------------------------------------------------------


@contextmanager
def nobody_reads() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def run(folder: Path, stdout: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = folder / "collector.toml"
    config.write_text(f'data_dir = "{folder}"\n[database]\ndsn = "postgresql://nobody@127.0.0.1:1/x"\n')
    return subprocess.run(
        [sys.executable, "-m", "collector.cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLLECTOR_CONFIG": str(config)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check --offline", "check --offline --json", "--version"])
def test_a_reader_that_goes_ends_a_command_without_a_word(tmp_path: Path, command: str) -> None:
    with nobody_reads() as writer:
        done = run(tmp_path, writer, *command.split())
    assert (done.stderr, done.returncode) == ("", READER_GONE_STATUS)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check --offline", "check --offline --json"])
def test_an_output_that_is_full_is_told(tmp_path: Path, command: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(tmp_path, full.fileno(), *command.split())
    assert done.stderr == "error: the output cannot be written: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.slow
def test_no_output_at_all_is_nobody_s_trouble(tmp_path: Path) -> None:
    done = run(tmp_path, subprocess.DEVNULL, "check", "--offline")
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m collector.cli check --offline >&- 2>&-', sys.executable],
        env={**os.environ, "COLLECTOR_CONFIG": str(tmp_path / "collector.toml")},
        timeout=60,
        check=False,
    )
    assert closed.returncode == done.returncode == 1
