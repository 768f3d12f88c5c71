"""Where commands print: texts are texts, whoever wrote them, and a reader that has gone ends a command quietly.

Everything that a command prints goes through here; a test sees to it. A text, in a table's cell too, is shown as it is,
with nothing in it that a terminal would obey and no markup. What is to have a style is `styled`.
"""

from __future__ import annotations

__all__ = ["READER_GONE_STATUS", "Screen", "say", "settle", "styled", "write_json"]

import errno
import os
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

from collector.escape import escaped, escaped_json

# The exit status that a shell shows for a program ended by SIGPIPE, as in `collector gaps | head -1`.
READER_GONE_STATUS = 141


class Screen(Console):
    """A console on stdout, or on stderr, whose texts mean nothing but themselves."""

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return a text as it is shown; Rich asks this for everything that is no `Text` already."""
        kept = {name: how[name] for name in ("style", "justify", "overflow") if how.get(name) is not None}
        return Text(escaped(text), **kept)

    def on_broken_pipe(self) -> None:
        """End the command: nobody reads what it says."""
        self.quiet = True
        _end(sys.stderr if self.stderr else sys.stdout)


def say(line: str, style: str = "", *, stderr: bool = False) -> None:
    """Print one line, however long."""
    Screen(stderr=stderr).print(styled(line, style), soft_wrap=True)


def styled(text: str, style: str = "") -> Text:
    """Return a text in a style."""
    return Text(escaped(text), style)


def write_json(document: str) -> None:
    """Print one JSON document on stdout."""
    try:
        sys.stdout.write(escaped_json(document) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _end(sys.stdout)


def settle(status: int) -> int:
    """Write what waits for stdout, and return the status to exit with: another one where that cannot be written."""
    if sys.stdout is None:
        return status
    try:
        sys.stdout.flush()
    except OSError as error:
        _close(sys.stdout)
        if error.errno == errno.EPIPE:
            return READER_GONE_STATUS
        say(f"error: the output cannot be written: {error.strerror}", stderr=True)
        return status or 1
    return status


def _end(stream: Any) -> NoReturn:
    _close(stream)
    raise SystemExit(READER_GONE_STATUS)


def _close(stream: Any) -> None:
    """Let a stream's last words go nowhere, so that the interpreter does not fail on them at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
