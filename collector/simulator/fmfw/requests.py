"""What clients may ask on the socket: subscribe, unsubscribe, subscriptions.

A request is checked whole before anything of it happens: one bad symbol refuses all of it.  The answer lists the whole
set of the channel in an order of the venue's own, which is not the order asked for.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from collector.simulator.fmfw.channels import Channel, channel
from collector.simulator.fmfw.connection import Connection
from collector.simulator.fmfw.errors import (
    BadParameter,
    NoSuchCurrency,
    NoSuchSymbol,
    NothingFound,
    TooManyRequests,
    VenueError,
)
from collector.simulator.fmfw.hub import Hub
from collector.simulator.fmfw.topics import Topic
from collector.simulator.kit.faults import Fault
from collector.simulator.kit.window import SlidingWindow

# What the venue allows of `limit`.
_LIMIT_MAX = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One request that passed all checks."""

    method: str
    topic: Topic
    symbols: Sequence[str]
    limit: int
    id: object


class Requests:
    """Answers clients' messages."""

    def __init__(
        self,
        hub: Hub,
        window: SlidingWindow,
        random: Random,
        now_ms: Callable[[], int],
        ack_delay: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._hub = hub
        self._window = window
        self._random = random
        self._now_ms = now_ms
        self._ack_delay = ack_delay
        self._reordered = 0
        self._reordered_at = 0.0

    def handle(self, connection: Connection, text: str, now: float) -> None:
        """Answer one message at `now` (monotonic seconds), at once or when the acknowledgement's delay is over."""
        request_id: object = None
        try:
            try:
                message = json.loads(text)
            except ValueError as error:
                raise BadParameter("The message is not JSON.") from error
            if not isinstance(message, dict):
                raise BadParameter("The message is not an object.")
            request_id = message.get("id")
            allowed = self._window.allow(connection.address, now)
            if not allowed or self._hub.faults.take("429", channel="socket"):
                raise TooManyRequests
            request = self._check(message)
        except VenueError as error:
            self._refuse(connection, error, request_id)
            return
        due = now + self._delay(request, now)
        connection.at(due, request.topic.channel.name, lambda: self._perform(connection, request))
        connection.run_due(now)

    def _check(self, message: dict[str, object]) -> Request:
        method, name, params = message.get("method"), message.get("ch"), message.get("params", {})
        if method not in ("subscribe", "unsubscribe", "subscriptions"):
            raise NothingFound(f"No such method: {method}")
        chosen = channel(name) if isinstance(name, str) else None
        if chosen is None:
            raise BadParameter(f"No such channel: {name}")
        if not isinstance(params, dict):
            raise BadParameter("params must be an object.")
        target = self._target(chosen, params, required=method == "subscribe")
        topic = self._hub.topic(chosen, target)
        if method == "subscriptions":
            return Request(method, topic, (), 0, message.get("id"))
        symbols = self._symbols(chosen, params, target)
        limit = params.get("limit", 0) if chosen.takes_limit else 0
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= _LIMIT_MAX:
            raise BadParameter("limit must be a number from 0 to 1000.")
        return Request(str(method), topic, symbols, limit, message.get("id"))

    def _target(self, chosen: Channel, params: dict[str, object], *, required: bool) -> str:
        if not chosen.takes_target:
            return ""
        target = params.get("target_currency")
        if target is None and not required:
            held = [topic.target for topic in self._hub.topics.values() if topic.channel.name == chosen.name]
            if held:
                return held[0]
        if not isinstance(target, str):
            raise BadParameter("target_currency is required.")
        if target not in self._hub.rates.currencies:
            raise NoSuchCurrency(target)
        return target

    def _symbols(self, chosen: Channel, params: dict[str, object], target: str) -> list[str]:
        """Give the symbols (or currencies) that a request names, with a star made into what it stands for."""
        key = "currencies" if chosen.family == "rate" else "symbols"
        named = params.get(key)
        if not isinstance(named, list) or not named or not all(isinstance(one, str) for one in named):
            raise BadParameter(f"{key} must be a list of one or more names.")
        if chosen.family == "rate":
            known = [one for one in self._hub.rates.currencies if self._hub.rates.path(one, target)]
        elif chosen.family == "futures":
            known = list(self._hub.exchange.contracts)
        else:
            known = list(self._hub.exchange.markets)
        if "*" in named and chosen.takes_star:
            return known
        listed = set(known)
        for one in named:
            if one not in listed or self._hub.faults.take("refuse_symbol", one, chosen.name):
                raise NoSuchCurrency(one) if chosen.family == "rate" else NoSuchSymbol(one)
        return list(dict.fromkeys(named))

    def _delay(self, request: Request, now: float) -> float:
        faults, name = self._hub.faults, request.topic.channel.name
        delay = self._random.uniform(*self._ack_delay)
        late: Fault | None = faults.take("late_acks", channel=name)
        if late is not None:
            delay += late.number("delay", 0.4)
        reordered = faults.take("reordered_acks", channel=name)
        if reordered is not None:
            # Each of a burst waits less than the one before it, so the last answer comes first.
            self._reordered = self._reordered + 1 if now - self._reordered_at < 1 else 1
            self._reordered_at = now
            delay += reordered.number("delay", 0.2) / self._reordered
        return delay

    def _perform(self, connection: Connection, request: Request) -> None:
        hub, topic = self._hub, request.topic
        if request.method == "subscribe":
            hub.subscribe(connection, topic, request.symbols)
        elif request.method == "unsubscribe":
            hub.unsubscribe(connection, topic, request.symbols)
        if request.id is not None:
            active = [symbol for symbol, held in topic.subscribers.items() if connection in held]
            result: dict[str, object] = {
                "ch": topic.channel.name,
                "subscriptions": sorted(active, key=lambda symbol: zlib.crc32(symbol.encode())),
            }
            if topic.target:
                result["target_currency"] = topic.target
            connection.send(json.dumps({"result": result, "id": request.id}, separators=(",", ":")))
            hub.ledger.control_frames += 1
        if request.method == "subscribe":
            hub.send_first(connection, topic, request.symbols, request.limit, self._now_ms())

    def _refuse(self, connection: Connection, error: VenueError, request_id: object) -> None:
        answer: dict[str, object] = {"error": error.body()}
        if request_id is not None:
            answer["id"] = request_id
        connection.send(json.dumps(answer, separators=(",", ":")))
        self._hub.ledger.control_frames += 1
