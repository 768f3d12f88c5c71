"""`collector check`: what would go wrong, before it does."""

from __future__ import annotations

from typing import Annotated

import typer

from collector.cli.output.screen import Screen, styled
from collector.cli.shared import ConfigFile, Json, print_json, read_config

EXAMPLES = """
Examples:

    collector check

    collector check --config new.toml && systemctl restart collector

    collector check --offline          # asks no venue; before each start of the service

    collector check --json | jq '.[] | select(.verdict != "ok")'
"""

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def add_to(app: typer.Typer) -> None:
    app.command("check", epilog=EXAMPLES)(check)


def check(
    config: ConfigFile = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Contact no venue, and only warn if the database does not answer within two seconds."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check configuration, disk, limits, database, venues, credentials and clocks, without changing anything.

    The exit status is 1 if something would keep the daemon from recording, and 2 if the configuration is wrong.
    """
    from collector.check import Finding, Verdict
    from collector.check import check as look
    from collector.cli.running import run

    settings = read_config(config)
    screen = Screen()

    async def all_of_it() -> list[Finding]:
        findings = []
        async for finding in look(settings, offline=offline):
            findings.append(finding)
            if not as_json:
                verdict = styled(f"{finding.verdict:8}", _STYLES[finding.verdict])
                screen.print(verdict, styled(f"{finding.subject}: {finding.text}"), sep="", soft_wrap=True)
                if finding.remedy and finding.verdict is not Verdict.OK:
                    screen.print(styled(f"         {finding.remedy}", "cyan"), soft_wrap=True)
        return findings

    findings = run(all_of_it())
    if as_json:
        print_json([finding._asdict() for finding in findings])
    raise typer.Exit(any(finding.verdict is Verdict.FAILURE for finding in findings))
