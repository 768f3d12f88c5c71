"""Toy: a venue of one socket and trades, as small as an adapter can be."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar

import orjson
from pydantic import Field

from collector.errors import VenueError
from collector.model import Instrument, InstrumentSpec, Records
from collector.venues.adapter import Adapter, Venue, VenueSettings
from collector.venues.events import Acknowledged, Event, Refused
from collector.venues.header import SessionHeader
from collector.venues.kit.plain import PlainParser
from collector.venues.kit.requests import RequestedSubscriptions
from collector.venues.plan import ConnectionPlan, Limits, Plan, Problem, Subscription
from collector.venues.rest import Discovery, RestCall
from collector.venues.roles import Parser
from collector.venues.specimens import Frame, Specimens

CHANNEL = "trades"


class ToySettings(VenueSettings):
    """What stands in `[venues.toy]`."""

    symbols: tuple[str, ...] = Field(description="The symbols to record.")
    rest_url: str = Field("http://127.0.0.1:8090", description="Where the list of symbols is.")
    ws_url: str = Field("ws://127.0.0.1:8090/ws", description="Where the trades come from.")


class ToyParser(PlainParser):
    """Trades, and the words about subscriptions."""

    def read(self, message: dict[str, Any], received_ns: int, out: Records) -> Sequence[Event]:
        match message["op"]:
            case "trade":
                self.trade(message, CHANNEL, received_ns, out)
                return ()
            case "subscribed":
                return (Acknowledged(int(message["id"]), CHANNEL, frozenset(map(str, message["symbols"]))),)
            case "error":
                code, reason = str(message["code"]), str(message["message"])
                return (Refused(int(message["id"]), code, reason, permanent=code == "404"),)
        raise ValueError(f"op: {message['op']!r:.60} is not known")


class ToyConversation(RequestedSubscriptions):
    """Asks for trades."""

    def _subscribe(self, subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
        return orjson.dumps({"op": "subscribe", "id": request_id, "symbols": symbols})

    def _unsubscribe(self, subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
        return orjson.dumps({"op": "unsubscribe", "id": request_id, "symbols": symbols})


class ToyVenue(Venue[ToySettings]):
    """A configured toy."""

    def limits(self) -> Limits:
        return Limits(rest_per_second=5, messages_per_second=10, connections=1)

    def discover(self) -> Discovery:
        answer = yield RestCall("symbols", f"{self.settings.rest_url}/symbols")
        try:
            listed = {item["symbol"]: item for item in orjson.loads(answer.body)}
        except (ValueError, KeyError, TypeError) as error:
            raise VenueError(self.name, f"the list of symbols is none: {error}; is rest_url right?") from error
        wanted = tuple(symbol for symbol in self.settings.symbols if symbol in listed)
        header = SessionHeader(self.name, self.adapter.name, wanted)
        trades = Subscription(CHANNEL, "trades", wanted, prompt=False)
        return Plan(
            connections=(ConnectionPlan(f"{self.name}-1", self.settings.ws_url, (trades,), header),) if wanted else (),
            instruments=tuple(self._spec(item, answer.received_ns // 1000) for item in listed.values()),
            problems=tuple(Problem(name, "no such symbol") for name in self.settings.symbols if name not in listed),
        )

    def _spec(self, item: dict[str, str], received_us: int) -> InstrumentSpec:
        instrument, text = Instrument(self.name, item["symbol"]), orjson.dumps(item).decode()
        return InstrumentSpec(instrument, None, None, "spot", item.get("tick"), None, "working", text, received_us)

    def conversation(self, plan: ConnectionPlan, parser: Parser, random: Random) -> ToyConversation:
        return ToyConversation(plan, parser, random)


class ToyAdapter(Adapter[ToySettings]):
    """The protocol."""

    name: ClassVar[str] = "toy"
    settings: ClassVar[type[VenueSettings]] = ToySettings
    venue: ClassVar[type[Venue[Any]]] = ToyVenue

    def parser(self, header: SessionHeader) -> Parser:
        return ToyParser(header)

    def specimens(self) -> Specimens:
        said = b'{"op":"trade","symbol":"AB","id":%d,"time":1700000000%03d,"price":"1.50","size":"2","side":"buy"}'
        frames = [Frame(b'{"op":"subscribed","id":1,"symbols":["AB"]}'), *(Frame(said % (n, n)) for n in range(1, 9))]
        return Specimens({"symbols": ["AB"]}, {"symbols": b'[{"symbol":"AB","tick":"0.01"}]'}, tuple(frames))


ADAPTER = ToyAdapter()
