"""Asks a venue what it has, and returns what would be recorded of it. Nothing is journalled or stored."""

from __future__ import annotations

from typing import Any, NamedTuple

from collector.clock import SystemClock
from collector.feed.failures import Place
from collector.feed.intake import Forgetful
from collector.feed.network import AiohttpNetwork, Network
from collector.feed.rest import RestClient
from collector.venues.adapter import Venue
from collector.venues.plan import Plan


class Listed(NamedTuple):
    """An instrument at a venue, and the streams that the configuration asks for."""

    venue: str
    symbol: str
    kind: str
    base: str | None
    quote: str | None
    price_step: str | None
    size_step: str | None
    status: str
    streams: tuple[str, ...]


async def discover(venue: Venue[Any], network: Network) -> Plan:
    """Ask the venue what the daemon asks at its start. Raises `VenueError`."""
    rest = RestClient(venue, venue.limits(), network, SystemClock(), Forgetful())
    return await rest.drive(venue.discover(), place=Place.DISCOVER)


async def catalogue(venue: Venue[Any]) -> list[Listed]:
    """List every instrument of a venue. Raises `VenueError`."""
    async with AiohttpNetwork.open() as network:
        plan = await discover(venue, network)
    streams: dict[str, list[str]] = {}
    for connection in plan.lines:
        for subscription in connection.subscriptions:
            for symbol in subscription.symbols:
                wanted = streams.setdefault(symbol, [])
                if subscription.stream not in wanted:
                    wanted.append(subscription.stream)
    return [
        Listed(
            venue.name,
            spec.instrument.symbol,
            spec.kind,
            spec.base,
            spec.quote,
            spec.price_step,
            spec.size_step,
            spec.status,
            tuple(streams.get(spec.instrument.symbol, ())),
        )
        for spec in sorted(plan.instruments)
    ]
