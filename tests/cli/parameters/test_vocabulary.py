"""One vocabulary: an option has one name, one meaning and one parser in every command, and old spellings still work."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

import pytest
import typer
from typer.models import ArgumentInfo

from collector.cli import app, main
from collector.cli.parameters.names import listed
from collector.cli.parameters.spellings import OLD_ARGUMENTS, OLD_OPTIONS, PLURALS


class Word(NamedTuple):
    """What an option is: how its text is read, whether it may be repeated, and what its help says in every command."""

    kind: str
    repeated: bool = False
    meaning: str = ""
    """The whole help; empty where an option belongs to one command, or means "everything" of different things."""


FLAG = "flag"
VOCABULARY = {
    "--again": Word(FLAG, meaning="Do again what was done before."),
    "--all": Word(FLAG),
    "--anyway": Word(FLAG),
    "--backfills": Word(FLAG),
    "--config": Word(
        "Path",
        meaning="Configuration to read. (default: $COLLECTOR_CONFIG, ./collector.toml, the user's, the system's)",
    ),
    "--data-dir": Word("Path"),
    "--diff": Word(FLAG),
    "--dry-run": Word(FLAG, meaning="Only say what would be done, and change nothing."),
    "--duration": Word("duration_seconds"),
    "--error": Word("str", meaning="Only such errors, * and ? as in file names."),
    "--examples": Word("int"),
    "--format": Word("str"),
    "--from": Word(
        "moment", meaning="From this time on: 2026-11-01, 2026-11-01T09:30 (UTC), '2h ago', yesterday, now."
    ),
    "--group": Word(FLAG),
    "--host": Word("str"),
    "--into": Word("str"),
    "--json": Word(FLAG, meaning="Print JSON, for scripts."),
    "--kind": Word("str", meaning="frame: not understood; row: refused by the database. (default: both)"),
    "--limit": Word("int", meaning="Show the newest N at most."),
    "--listen": Word("str"),
    "--no-fetch": Word(FLAG),
    "--offline": Word(FLAG),
    "--only": Word("str", repeated=True),
    "--out": Word("Path"),
    "--period": Word("str"),
    "--port": Word("int"),
    "--rate": Word("float", meaning="Market events a second at each venue."),
    "--reason": Word("str"),
    "--recorded": Word(FLAG),
    "--replace": Word(FLAG),
    "--seal": Word("day"),
    "--seed": Word("int", meaning="The same seed gives the same market."),
    "--state": Word("str"),
    "--stream": Word("str", repeated=True, meaning="Only this stream, such as trades; may be repeated. (default: all)"),
    "--style": Word("str"),
    "--symbol": Word(
        "str",
        repeated=True,
        meaning="Only these symbols, * and ? as in file names; may be repeated. (default: all)",
    ),
    "--symbol-count": Word("int"),
    "--table": Word("str", repeated=True),
    "--to": Word("moment", meaning="Up to this time, written in the same ways."),
    "--venue": Word("str", repeated=True, meaning="Only this venue; may be repeated. (default: all)"),
    "--verify": Word("Path"),
    "--version": Word(FLAG),
    "--whole": Word(FLAG, meaning="Print all of a long frame."),
    "--within": Word("duration_seconds"),
    "--write-config": Word("Path"),
}
ARGUMENTS = {"VENUE", "SYMBOL", "SYMBOL..", "TABLE", "TABLE..", "KEY", "ID", "[ID].."}
# A replay begins and ends at a time as everything does, or else at an entry of the journal.
PLACES_IN_THE_JOURNAL = {("replay", "--from"), ("replay", "--to")}


class Declared(NamedTuple):
    """An option or argument as a command's function declares it."""

    name: str
    word: Word
    is_argument: bool
    extra_names: frozenset[str] = frozenset()


def declared(command: Callable[..., object]) -> Iterator[Declared]:
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        base, info = get_args(parameter.annotation)[:2]
        inner = [part for part in get_args(base) if part is not NoneType] or [base]
        repeated = get_origin(base) is list or get_origin(inner[0]) is list
        plain = get_args(inner[0])[0] if get_origin(inner[0]) is list else inner[0]
        kind = info.parser.__name__ if info.parser else FLAG if plain is bool else plain.__name__
        # Within `Annotated` the first of several names takes the default's place.
        spelt = [name for name in (info.default, *(info.param_decls or ())) if str(name).startswith("-")]
        names = [name for name in spelt if name.startswith("--")]
        name = names[0] if names else f"--{parameter.name.replace('_', '-')}"
        is_argument = isinstance(info, ArgumentInfo)
        extra = frozenset(spelt) - {name}
        yield Declared(info.metavar if is_argument else name, Word(kind, repeated, info.help or ""), is_argument, extra)


def commands(group: typer.Typer = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Callable[..., object]]]:
    if group.registered_callback and group.registered_callback.callback:
        yield " ".join(path), group.registered_callback.callback
    for command in group.registered_commands:
        assert command.callback is not None
        yield " ".join((*path, command.name or command.callback.__name__)), command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, (*path, str(inner.name)))


OPTIONS = [(path, option) for path, command in commands() for option in declared(command)]


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[f"{path} {option.name}" for path, option in OPTIONS])
def test_every_option_is_in_the_vocabulary_with_its_parser_and_meaning(path: str, option: Declared) -> None:
    assert "[default" not in option.word.meaning, "square brackets are markup and are not printed"
    if option.is_argument:
        assert option.name in ARGUMENTS
        return
    assert option.extra_names <= {"-c"}, "one name"
    if (path, option.name) in PLACES_IN_THE_JOURNAL:
        assert option.word.kind == "place"
        return
    word = VOCABULARY[option.name]
    assert option.word[:2] == word[:2]
    used = [path for path, other in OPTIONS if other.name == option.name]
    assert not word.meaning or option.word.meaning == word.meaning
    assert word.meaning or len(used) == 1 or option.name in {"--all", "--out", "--state"}, (
        "say what it means everywhere"
    )


def test_every_word_is_used() -> None:
    assert {option.name for _, option in OPTIONS if not option.is_argument} == set(VOCABULARY)


def given(path: str, old: str) -> list[str]:
    """Give an old option a value where it takes one, and everything else that the command needs."""
    value = {"--pending": [], "--symbols": ["3"], "--until": ["2026-01-01"]}.get(old, ["trades,fmfw"])
    return [*path.split(), old, *value]


def seen(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> dict[str, Any]:
    """Return what a command would be called with."""
    called: dict[str, Any] = {}

    def invoke(context: Any) -> None:
        called.update(context.params)

    with monkeypatch.context() as patch:
        patch.setattr("typer.core.TyperCommand.invoke", lambda _self, context: invoke(context))
        assert main(arguments) == 0
    return called


OLD = [(path, old, new) for path, names in OLD_OPTIONS.items() for old, new in names.items()]


@pytest.mark.parametrize(("path", "old", "new"), OLD)
@pytest.mark.parametrize("joined", [False, True])
def test_an_old_spelling_works_and_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, old: str, new: str, joined: bool
) -> None:
    arguments = given(path, old)
    if joined and len(arguments) == len(path.split()) + 2:
        arguments[-2:] = ["=".join(arguments[-2:])]
    today = [word.replace(old, new, 1) if word.startswith(old) else word for word in arguments]

    before = seen(monkeypatch, arguments)

    told = capsys.readouterr()
    assert told.out == ""
    assert re.search(f"warning: {old} is now written {new};", told.err)
    assert before == seen(monkeypatch, today)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("path", "new"), OLD_ARGUMENTS.items())
def test_an_old_argument_works_and_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, new: str
) -> None:
    before = seen(monkeypatch, [path, "--venue", "fmfw", "BTC*", "--json"])

    assert f"is now written {new} 'BTC*'" in capsys.readouterr().err
    assert before == seen(monkeypatch, [path, "--venue", "fmfw", new, "BTC*", "--json"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("path", "plural", "singular"), [(path, old, new) for path, names in PLURALS.items() for old, new in names.items()]
)
def test_a_plural_that_scripts_were_promised_stays_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, plural: str, singular: str
) -> None:
    needed = ["fmfw", "BTCUSDT", "--from", "2026-11-01"] if path == "backfill" else []

    promised = seen(monkeypatch, [path, *needed, plural, "a,b"])

    assert promised == seen(monkeypatch, [path, *needed, singular, "a,b"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", sorted({*OLD_OPTIONS, *OLD_ARGUMENTS, *PLURALS}))
def test_help_shows_only_what_is_written_today(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path.split(), "--help"]) == 0

    told = capsys.readouterr().out
    for old in {**OLD_OPTIONS.get(path, {}), **PLURALS.get(path, {})}:
        assert not re.search(rf"{old}\b(?!-)", told)


def test_names_may_be_repeated_or_separated_by_commas() -> None:
    assert listed(["a,b", " b", "c"], "--venue") == ["a", "b", "c"]
    assert listed(None, "--venue") == []
    with pytest.raises(typer.BadParameter, match="names nothing"):
        listed([","], "--venue")
