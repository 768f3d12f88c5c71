"""Names on the command line: one that nothing is called by is wrong usage, told with what may be meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import typer

from collector.escape import escaped
from collector.names import UnknownNameError, known_name


@contextmanager
def usage(**hints: str) -> Iterator[None]:
    """Let an unknown name be wrong usage; `hints` are the options, or arguments, by which a kind of name is given."""
    try:
        yield
    except UnknownNameError as error:
        raise typer.BadParameter(escaped(str(error)), param_hint=hints.get(error.what)) from None


def one_of(what: str, name: str, known: Collection[str], hint: str, *, where: str = "to choose") -> str:
    """Return a name that is one of a few; wrong usage otherwise."""
    with usage(**{what: hint}):
        return known_name(what, name, known, where=where)


def some_of(
    what: str, texts: Sequence[str], known: Collection[str], hint: str, *, where: str = "to choose"
) -> list[str]:
    """Return the names in a repeated option, each one of a few; wrong usage otherwise."""
    names = listed(texts, hint, f"names nothing; there is {', '.join(known)}")
    return [one_of(what, name, known, hint, where=where) for name in names]


def listed(texts: Sequence[str] | None, hint: str, problem: str = "names nothing") -> list[str]:
    """Return the names in a repeated option, each once; one text may hold several with commas between them."""
    names = [name.strip() for text in texts or () for name in text.split(",") if name.strip()]
    if texts and not names:
        raise typer.BadParameter(problem, param_hint=hint)
    return list(dict.fromkeys(names))
