"""Options as they were spelt in an earlier release: they still work, are in no help, and say what to write instead."""

from __future__ import annotations

__all__ = ["Command", "accept_old_spellings"]

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import typer
from typer.core import TyperCommand

from collector.cli.output.screen import say

# Old options by command, accepted with a warning until the next release.
OLD_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "demo": {"--venues": "--venue"},
    "migrate": {"--pending": "--dry-run"},
    "replay": {"--venues": "--venue", "--tables": "--table", "--until": "--to"},
    "simulate": {"--symbols": "--symbol-count"},
}

# Commands whose plain arguments are an option now, accepted with a warning until the next release.
OLD_ARGUMENTS: Mapping[str, str] = {"instruments": "--symbol"}

# Second names that stay, without a warning, because scripts were promised them.
PLURALS: Mapping[str, Mapping[str, str]] = {
    "backfill": {"--streams": "--stream"},
    "simulate": {"--venues": "--venue"},
}


class Command(TyperCommand):
    """A command that also understands its old spellings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        name = ctx.command_path.partition(" ")[2]
        return super().parse_args(ctx, list(self._today(name, args)))

    def _today(self, name: str, args: list[str]) -> Iterator[str]:
        """Yield the arguments in today's spelling, and warn of those that had another one."""
        takes_value = {option for param in self.params if not getattr(param, "is_flag", False) for option in param.opts}
        old, plural = OLD_OPTIONS.get(name, {}), PLURALS.get(name, {})
        words = iter(args)
        for word in words:
            option, equals, value = word.partition("=")
            if word == "--":
                yield word
                yield from words
            elif option in old or option in plural:
                new = old.get(option) or plural[option]
                if option in old:
                    _warn(option, new)
                yield new + equals + value
            elif name in OLD_ARGUMENTS and not word.startswith("-"):
                _warn(f"the argument {word!r}", f"{OLD_ARGUMENTS[name]} {word!r}")
                yield from (OLD_ARGUMENTS[name], word)
            else:
                yield word
                if word in takes_value:
                    yield from islice(words, 1)


def _warn(old: str, new: str) -> None:
    say(f"warning: {old} is now written {new}; the old form works for this release only", "yellow", stderr=True)


def accept_old_spellings(app: typer.Typer) -> None:
    """Let every command of an application, and of the groups in it, understand its old spellings."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            accept_old_spellings(group.typer_instance)
