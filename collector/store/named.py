"""SQL that lives in .sql files, each statement under a name.

A file is a list of statements, each headed by `-- name: x` and at least one comment line that says what it does. The
whole comment stays in front of what is sent, so a slow statement in the server's log names itself. Nothing here
assembles SQL.
"""

from __future__ import annotations

__all__ = ["NamedSqlError", "Queries", "Statement", "parse", "queries"]

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

_HEAD = re.compile(r"^-- name: *(.*?) *$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class NamedSqlError(LookupError):
    """A .sql file is malformed, or lacks a statement: a mistake in the program, which shows when it starts."""


class Statement(NamedTuple):
    """A statement, its name, and the comment above it."""

    name: str
    description: str
    sql: str


class Queries(dict[str, str]):
    """The statements of one file by name. Ask for them at module level, where a wrong name stops the start."""

    def __init__(self, origin: str, statements: list[Statement]) -> None:
        super().__init__((statement.name, statement.sql) for statement in statements)
        self.origin = origin

    def __missing__(self, name: str) -> str:
        raise NamedSqlError(f"{self.origin} has no statement named {name!r}; it has {', '.join(sorted(self))}")


@cache
def queries(file: str, package: str = "collector.store.sql") -> Queries:
    """Return the statements of `file`.sql in a package's folder."""
    source = resources.files(package) / f"{file}.sql"
    return Queries(source.name, parse(source.read_text("utf-8"), source.name))


def parse(text: str, origin: str) -> list[Statement]:
    """Split a file's text into its statements; `origin` is named in errors."""
    preface, *parts = _HEAD.split(text)
    if any(line and not line.startswith("--") for line in map(str.strip, preface.splitlines())):
        raise NamedSqlError(f"{origin}: there is SQL before the first `-- name:`")
    statements: list[Statement] = []
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        said = []
        while lines and lines[0].startswith("--"):
            said.append(lines.pop(0).removeprefix("--").strip())
        description, sql = " ".join(said), "\n".join(lines).strip().removesuffix(";")
        if not _NAME.fullmatch(name) or not description or not sql:
            raise NamedSqlError(f"{origin}: {name!r} needs a name in lower case, a comment that describes it, and SQL")
        if name in (statement.name for statement in statements):
            raise NamedSqlError(f"{origin}: {name!r} is there twice")
        statements.append(Statement(name, description, f"-- {name}\n{sql}"))
    return statements
