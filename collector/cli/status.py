"""`collector status`: what the status page shows, in the terminal. It asks the daemon that runs, over HTTP."""

from __future__ import annotations

import http.client
import json as jsons
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from collector.cli.output.screen import Screen, styled, write_json
from collector.cli.shared import ConfigFile, Json, read_config
from collector.errors import CollectorError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from collector.config import Config

EXAMPLES = """
Examples:

    collector status

    collector status --json | jq .totals
"""

# The daemon answers from memory, within milliseconds.
ANSWER_TIMEOUT_SECONDS = 5.0
# Larger than the status of any daemon; whatever else may listen on the port must not fill our memory.
ANSWER_MAX_BYTES = 256 << 20


def add_to(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(status)


def status(config: ConfigFile = None, json: Json = False) -> None:
    """Show the state of the running daemon, and how to connect to its database.

    The exit status is 1 if no daemon answers.
    """
    settings = read_config(config, log=False)
    try:
        body = ask(settings)
    except CollectorError:
        if not json:
            _connect(Screen(), _psql(settings))
        raise
    if json:
        write_json(body.decode())
    else:
        answer = jsons.loads(body)
        show(answer, Screen(), (answer["database"] or {}).get("psql") or _psql(settings))


def ask(config: Config) -> bytes:
    """Return what the daemon says at `/api/status`.

    Raises:
        CollectorError: nobody answers at `http.listen`, or somebody else does.

    """
    from collector.daemon.presence import read
    from collector.web.listen import reachable

    host, port = reachable(config.http.host), config.http.port
    if daemon := read(config.data_dir):
        if daemon.page is None:
            why = daemon.trouble or "it is not served yet"
            raise CollectorError(
                f"a collector is running here (process {daemon.process}), but its status page is not available: {why}"
            )
        place = urlsplit(daemon.page)
        host, port = place.netloc.rpartition(":")[0], place.port or 80
    elif port == 0:
        raise CollectorError("http.listen has port 0, so the daemon cannot be found: set a port")
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=ANSWER_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/api/status", headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        body = answer.read(ANSWER_MAX_BYTES)
    except ConnectionRefusedError as error:
        raise CollectorError(
            f"no collector is running here: nothing answers at {host}:{port} (http.listen); `collector run` starts one"
        ) from error
    except TimeoutError as error:
        raise CollectorError(
            f"{host}:{port} does not answer within {ANSWER_TIMEOUT_SECONDS:.0f} s: the daemon is stuck; see its log"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise CollectorError(f"{host}:{port} (http.listen) cannot be reached: {error}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK or answer.getheader("Server") != "collector":
        raise CollectorError(
            f"{host}:{port} (http.listen) answers {answer.status} and is not this collector: "
            "is another program on that port, or is this another configuration than the daemon's?"
        )
    return body


def _psql(config: Config) -> str | None:
    from collector.store.dsn import address
    from collector.store.embedded import EmbeddedServer

    if config.database.dsn is not None:
        return f"psql postgresql://{address(config.database.dsn.get_secret_value())}"
    try:
        hint = EmbeddedServer(config.data_dir).describe()
    except OSError as error:
        return f"as the daemon's user, or root: {error.filename} cannot be read ({error.strerror})"
    return hint.command if hint else None


def show(status: dict[str, Any], console: Screen, psql: str | None) -> None:
    """Print the facts: the verdict and its reasons first. What the daemon could not tell is left out."""
    health = status["health"]
    about = f"  version {status['version']}, up {span(status['uptime_seconds'])}"
    console.print(_verdict(health), styled(about, "dim"))
    for colour, reasons in (("red", health["not_ready"]), ("yellow", health["warnings"])):
        for one in reasons:
            console.print(styled(f"  {one['part']}: {one['reason']}", colour), soft_wrap=True)
    console.print()
    console.print(_venues(status["venues"]))
    console.print()
    console.print(_connections(status["venues"]))
    console.print()
    console.print(_streams(status["venues"]))
    console.print()
    if status["totals"]:
        console.print(_counts(status["totals"]))
        console.print()
    _storage(status, console)
    _connect(console, psql)


def _verdict(health: dict[str, Any]) -> RenderableType:
    if not health["healthy"]:
        return styled("a part is dead", "bold red")
    if not health["ready"]:
        return styled("not recording", "bold red")
    if health["warnings"]:
        return styled("recording, with warnings", "bold yellow")
    return styled("recording", "bold green")


def _venues(venues: list[dict[str, Any]]) -> RenderableType:
    """One line a venue: its clock, the use of its REST budget, its gaps and what the repair does."""
    table = _table("venue", "worker", ">clock", "REST", ">open gaps", "repair")
    for venue in venues:
        offset, rest, repair, gaps = (venue[key] for key in ("clock_offset_seconds", "rest", "repair", "gaps"))
        table.add_row(
            venue["venue"],
            _state(venue["state"]),
            "-" if offset is None else f"{offset:+.3f} s",
            "-" if rest is None else _rest(rest),
            "-" if gaps is None else _gaps(gaps),
            "off" if repair is None else _repair(repair),
        )
    return table


def _rest(rest: dict[str, Any]) -> str:
    text = f"{rest['calls']:,} calls, {rest['failed']:,} failed, {rest['throttled']:,} throttled"
    return text + (f", pause {span(rest['pause_seconds'])}" if rest["pause_seconds"] else "")


def _gaps(gaps: dict[str, int]) -> str:
    causes = ", ".join(f"{count:,} {cause}" for cause, count in sorted(gaps.items()) if count)
    return causes or "0"


def _repair(repair: dict[str, Any]) -> str:
    text = f"{repair['state']}, {repair['waiting']:,} waiting, {repair['repaired']:,} done, {repair['lost']:,} lost"
    return text + (f": {repair['trouble']}" if repair["trouble"] else "")


def _connections(venues: list[dict[str, Any]]) -> RenderableType:
    table = _table("connection", "state", "for", ">frames", ">received", ">reconnects", ">last frame", "reason")
    for venue in venues:
        if venue["state"] != "running" or not venue["connections"]:
            table.add_row(f"{venue['venue']} (worker)", _state(venue["state"]), "", "", "", "", "", venue["reason"])
        for problem in venue["problems"]:
            table.add_row(
                f"{venue['venue']} {problem['symbol']}", _state("refused"), "", "", "", "", "", problem["reason"]
            )
        for one in venue["connections"]:
            table.add_row(
                one["name"],
                _state(one["state"]),
                span(one["state_seconds"]),
                f"{one['frames']:,}",
                size(one["bytes"]),
                _losses(one),
                span(one["last_frame_age_seconds"]),
                one["reason"],
            )
    return table


def _losses(connection: dict[str, Any]) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in connection["losses"].items())
    return f"{connection['reconnects']:,}" + (f" ({kinds})" if kinds else "")


def _streams(venues: list[dict[str, Any]]) -> RenderableType:
    """One line a venue and stream, and one for each subscription that has no data though it should."""
    table = _table("venue", "stream", ">flowing", ">all", ">newest record", "without data")
    for venue in venues:
        streams: dict[str, list[dict[str, Any]]] = {}
        for connection in venue["connections"]:
            for one in connection["subscriptions"]:
                streams.setdefault(one["stream"], []).append(one)
        for stream, all_of_it in streams.items():
            ages = [one["last_record_age_seconds"] for one in all_of_it]
            still = [f"{one['symbol']} {one['state']}" for one in all_of_it if one["state"] != "flowing"]
            more = f" and {len(still) - 3} more" if len(still) > 3 else ""
            table.add_row(
                venue["venue"],
                stream,
                str(len(all_of_it) - len(still)),
                str(len(all_of_it)),
                span(min((age for age in ages if age is not None), default=None)),
                ", ".join(still[:3]) + more,
            )
    return table


def _counts(totals: dict[str, Any]) -> RenderableType:
    table = _table("table", ">items", ">stored", ">duplicates", ">quarantined", "")
    keys = ("items", "stored", "duplicates", "quarantined")
    for name, count in totals["tables"].items():
        table.add_row(name, *(f"{count[key]:,}" for key in keys), "")
    adds_up = styled("adds up", "green") if totals["adds_up"] else styled("does not add up", "bold red")
    table.add_row("all", *(f"{totals['total'][key]:,}" for key in keys), adds_up)
    return table


def _storage(status: dict[str, Any], console: Screen) -> None:
    facts: dict[str, str] = {}
    if rates := status["rates"]:
        rows = rates["rows_per_second"]
        facts["rows stored"] = "not known yet" if rows is None else f"{rows:,.0f}/s"
    if lag := status["lag"]:
        half, most = span(lag["recent_p50_seconds"]), span(lag["recent_p99_seconds"])
        facts["receipt to commit"] = f"half under {half}, 99 % under {most} (last minute)"
    if journal := status["journal"]:
        facts |= _journal(journal, status["disk"])
    if database := status["database"]:
        why = f": {database['reason']}" if database["reason"] else ""
        facts["database"] = f"{database['place']}, {database['state']}{why}"
        facts["last commit"] = f"{span(database['last_commit_age_seconds'])} ago"
    facts["audit"] = _audit(status["audit"])
    if configuration := status["configuration"]:
        facts["configuration"] = f"{configuration['origin']}, read {configuration['loaded']}"
        facts["reload refused"] = "; ".join(configuration["refused"])
        facts["needs a restart"] = ", ".join(configuration["needs_restart"])
    if process := status["process"]:
        facts["process"] = (
            f"{process['pid']}: {size(process['rss_bytes'])}, {span(process['cpu_seconds'])} of a processor, "
            f"stood still for {span(process['loop_late_seconds'])} at the most"
        )
        lost = process["log_lines_lost"]
        facts["log"] = f"{lost:,} lines could not be written" if lost else ""
    for name, value in ((name, value) for name, value in facts.items() if value):
        console.print(styled(f"{name:<20}", "dim"), styled(value), sep="", soft_wrap=True)


def _journal(journal: dict[str, Any], disk: dict[str, Any]) -> dict[str, str]:
    waits = journal["backlog_seconds"]
    free, whole = size(disk["free_bytes"]), size(disk["size_bytes"])
    return {
        "journal": journal["fault"] or journal["refusal"] or ("full" if journal["full"] else "recording"),
        "journal takes": f"{size(journal['used_bytes'])}, {free} of {whole} free",
        "not in the tables": size(journal["backlog_bytes"])
        + (f", the oldest for {span(waits)}" if waits is not None else ""),
    }


def _audit(audit: dict[str, Any] | None) -> str:
    if audit is None:
        return "off"
    text = f"{audit['checked']:,} minutes, {audit['unexplained']:,} unexplained, {audit['open_alarms']:,} alarms open"
    text += f", up to {audit['last_minute']}" if audit["last_minute"] else ""
    return text + (f": {audit['trouble']}" if audit["trouble"] else "")


def _connect(console: Screen, psql: str | None) -> None:
    hint = psql or "there is no database here yet: `collector run` creates one"
    console.print(styled(f"{'connect':<20}", "dim"), styled(hint), sep="", soft_wrap=True)


# -- words -------------------------------------------------------------------------------------------------------------

_COLOURS = {
    "live": "green",
    "flowing": "green",
    "running": "green",
    "refused": "red",
    "failed": "red",
    "stopped": "red",
}


def _state(state: str) -> RenderableType:
    return styled(state, _COLOURS.get(state, "yellow"))


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def span(seconds: float | None) -> str:
    """Return a span for people; None is not known."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours < 1:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def size(count: float | None) -> str:
    """Return a number of bytes for people; None is not known."""
    if count is None:
        return "not known"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
