"""`python -m collector.venues.conformance NAME`: what an adapter has to be, tried out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from collector.config import load
from collector.errors import CollectorError
from collector.venues import find, names
from collector.venues.adapter import Adapter
from collector.venues.conformance.checks import CHECKS, Problem, Trial, problems
from collector.venues.conformance.sessions import NothingToTryError, discovered, of_journal, of_specimens

EXAMPLES = """Examples:

  python -m collector.venues.conformance toy

  python -m collector.venues.conformance fmfw --journal data/journal

  python -m collector.venues.conformance fmfw --journal data/journal --config collector.toml --json
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(epilog=EXAMPLES)
def main(
    name: Annotated[str, typer.Argument(help="The adapter's name.")],
    journal: Annotated[
        Path | None, typer.Option(help="Try it on what this journal's folder holds of it, too.", exists=True)
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Take the settings from this file's first venue with the adapter.", exists=True)
    ] = None,
    spoilt: Annotated[int, typer.Option(min=0, help="So many spoilt messages a session.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Spoils the same messages in the same way.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Try whether an adapter is what the rest of the program takes it to be.

    It is tried on the specimens that it brings along, and on a journal that was recorded with it. Exit status 0: it is;
    1: it is not, and the list says how; 2: it cannot be tried.
    """
    try:
        trial = _trial(name, journal, config, spoilt, seed)
    except (CollectorError, KeyError) as error:
        text = f"there is no adapter {name!r}; there are {', '.join(names())}" if isinstance(error, KeyError) else error
        typer.echo(str(text), err=True)
        raise typer.Exit(2) from error
    found = {check.__name__: problems(trial, check) for check in CHECKS}
    if as_json:
        told = [problem._asdict() for every in found.values() for problem in every]
        typer.echo(orjson.dumps({"adapter": name, "sessions": len(trial.sessions), "problems": told}))
    else:
        _show(trial, found)
    if any(found.values()):
        raise typer.Exit(1)


def _trial(name: str, journal: Path | None, config: Path | None, spoilt: int, seed: int) -> Trial:
    adapter: Adapter[Any] = find(name)
    specimens = adapter.specimens()
    venue, section = None, dict(specimens.settings) if specimens else None
    if config is not None:
        configured = [one for one in load(config, {}).venues.values() if one.adapter == name]
        if not configured:
            raise NothingToTryError(f"{config} has no venue with the adapter {name!r}")
        venue = configured[0].begin()
    elif section is not None:
        venue = adapter.begin(name, adapter.settings.model_validate(section))
    plan = discovered(venue, specimens.discovery) if venue is not None and specimens and config is None else None
    sessions = of_specimens(adapter, venue, plan) if venue is not None and plan is not None else []
    if journal is not None:
        sessions += of_journal(adapter, journal)
    if not sessions:
        raise NothingToTryError(
            f"{name} brings no specimens, and no journal holds any of its sessions: record some with `collector run`, "
            "and give the folder with --journal"
        )
    return Trial(adapter, venue, plan, section, sessions, spoilt, seed)


def _show(trial: Trial, found: dict[str, list[Problem]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for check in CHECKS:
        bad = found[check.__name__]
        text = "\n".join(problem.text for problem in bad) or (check.__doc__ or "").strip()
        table.add_row("FAILED" if bad else "ok", check.__name__.replace("_", " "), text)
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(table)
    messages = sum(len(session.entries) for session in trial.sessions)
    failed = sum(map(bool, found.values()))
    verdict = f"{failed} of {len(CHECKS)} checks failed" if failed else "it is what it has to be"
    console.print(
        f"{len(trial.sessions)} sessions with {messages:,} messages, {trial.spoilt:,} spoilt ones each: {verdict}"
    )


if __name__ == "__main__":
    app(prog_name="python -m collector.venues.conformance")
