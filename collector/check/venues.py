"""One venue: whether it answers, takes the credentials and has the symbols, opens a socket, and what its clock says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from collector.check.audit import turn
from collector.check.clock import ClockBounds
from collector.check.findings import Finding, Verdict
from collector.clock import Clock, SystemClock
from collector.config import Config
from collector.errors import CollectorError, VenueError
from collector.feed.discovery import discover
from collector.feed.failures import AdapterError
from collector.feed.network import AiohttpNetwork, Line, LineError, MovedError, Network, shown
from collector.venues.adapter import Venue
from collector.venues.plan import ConnectionPlan, Plan

# For all answers that discovery needs from one venue.
VENUE_TIMEOUT_SECONDS = 30.0


async def look_at_venue(name: str, config: Config, *, clock: Clock | None = None) -> list[Finding]:
    """Ask the venue what the daemon would ask at its start, open one socket, and tell how it went."""
    subject, configured = f"venues.{name}", config.venues[name]
    if not configured.enabled:
        return [Finding(subject, Verdict.OK, "is switched off (enabled = false)")]
    venue = configured.begin()
    async with AiohttpNetwork.open() as real:
        network = TimedNetwork(real, clock or SystemClock())
        try:
            async with asyncio.timeout(VENUE_TIMEOUT_SECONDS):
                plan = await discover(venue, network)
        except TimeoutError:
            return [_unanswered(subject), *network.bounds.findings(subject)]
        except AdapterError as error:
            return [_bug(subject, error.__cause__ or error)]
        except CollectorError as error:
            return [_refused(name, error, config), *network.bounds.findings(subject)]
        except Exception as error:  # noqa: BLE001  a mistake in one adapter must not hide what the others found
            return [_bug(subject, error)]
        found = [*_planned(subject, plan), *turn(name, config, plan)]
        if plan.connections:
            found.append(await _socket(subject, network, venue, plan.connections[0]))
        return [*found, *network.bounds.findings(subject)]


class TimedNetwork:
    """A network that notes what the answers say of the venue's clock."""

    def __init__(self, network: Network, clock: Clock) -> None:
        self._network = network
        self._clock = clock
        self.bounds = ClockBounds()

    async def connect(self, url: str, *, headers: Mapping[str, str], max_message_bytes: int) -> Line:
        return await self._network.connect(url, headers=headers, max_message_bytes=max_message_bytes)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        max_answer_bytes: int,
    ) -> tuple[int, Mapping[str, str], bytes]:
        asked_ns = self._clock.now_ns()
        answer = await self._network.request(
            method, url, params=params, headers=headers, body=body, max_answer_bytes=max_answer_bytes
        )
        self.bounds.note(answer[1], asked_ns, self._clock.now_ns())
        return answer


def _unanswered(subject: str) -> Finding:
    return Finding(
        subject,
        Verdict.FAILURE,
        f"no answer in {VENUE_TIMEOUT_SECONDS:.0f} s",
        "check the network, and the proxy if one is needed",
    )


def _refused(name: str, error: CollectorError, config: Config) -> Finding:
    setting = error.setting if isinstance(error, VenueError) else None
    if setting is None:
        return Finding(f"venues.{name}", Verdict.FAILURE, str(error), f"check the addresses in [venues.{name}]")
    key = f"venues.{name}.{setting}"
    origin = config.source.get(key)
    return Finding(
        key,
        Verdict.FAILURE,
        str(error),
        "get a new one from the venue and set it" + (f" ({origin})" if origin else ""),
    )


def _planned(subject: str, plan: Plan) -> Iterator[Finding]:
    for problem in plan.problems:
        yield Finding(f"{subject}.symbols", Verdict.WARNING, f"{problem.subject}: {problem.reason}")
    pairs = {(one.stream, symbol) for line in plan.lines for one in line.subscriptions for symbol in one.symbols}
    streams = sorted({stream for stream, _ in pairs})
    symbols = {symbol for _, symbol in pairs}
    text = f"{len(symbols)} symbols, {', '.join(streams) or 'no streams'}, {len(plan.connections)} connection(s)"
    if plan.lines:
        yield Finding(subject, Verdict.OK, text)
    else:
        yield Finding(subject, Verdict.FAILURE, text, "no configured symbol can be recorded")
    for note in plan.notes:
        yield Finding(f"{subject}.plan", Verdict.OK, note)


def _bug(subject: str, error: BaseException) -> Finding:
    return Finding(
        subject,
        Verdict.FAILURE,
        f"its answers could not be understood ({type(error).__name__})",
        "check rest_url; if it is right, please report this bug",
    )


async def _socket(subject: str, network: Network, venue: Venue[Any], plan: ConnectionPlan) -> Finding:
    try:
        url, headers = venue.address(plan, Random())  # noqa: S311  no secret
        max_message_bytes = venue.limits().max_message_bytes
    except Exception as error:  # noqa: BLE001  as above
        return _bug(subject, error)
    try:
        line = await network.connect(url, headers=headers, max_message_bytes=max_message_bytes)
    except MovedError as error:
        remedy = "if that is where the venue is now, set it there"
        return Finding(f"{subject}.ws_url", Verdict.FAILURE, str(error), remedy)
    except LineError as error:
        return Finding(
            f"{subject}.ws_url",
            Verdict.FAILURE,
            str(error),
            "check the address, and that a firewall or proxy lets WebSockets pass",
        )
    await line.close()
    return Finding(f"{subject}.ws_url", Verdict.OK, f"{shown(url)} accepts connections")
