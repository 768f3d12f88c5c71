"""The doors that no real venue has, below `/_sim`: what was sent, faults, state, rate, pause.

They are outside of all limits and faults, so that a test can always ask what happened.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from aiohttp import web

from collector.simulator.kit.faults import FaultError


class ClearedFaults(Protocol):
    """Faults that can be taken back."""

    def clear(self) -> int: ...


class Controlled(Protocol):
    """What the doors do to a venue."""

    rate: float

    @property
    def faults(self) -> ClearedFaults: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def fault(self, name: str, **asked: Any) -> Any: ...


Change = Callable[[Mapping[str, Any]], None]


class Control(ABC):
    """The doors of a venue; `switches` are its own, each a path to which one posts what it is to be."""

    def __init__(self, venue: Controlled) -> None:
        self._controlled = venue
        self.switches: dict[str, Change] = {"rate": self.set_rate, "market": self.set_running}

    @abstractmethod
    def expected(self, symbol: str | None) -> dict[str, Any]:
        """List the symbols; with one, give its rows by table, and the venue's own for the empty one.

        KeyError where there is no such symbol. The rows are those of a recorder of everything that was sent.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Tell who is connected and what the venue is doing."""

    @abstractmethod
    def known_faults(self) -> dict[str, Any]:
        """Tell which faults are armed, and which there are."""

    def ledger(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Tell what was sent in the venue's own words. ValueError for what there is nothing of."""
        raise ValueError("this venue has no ledger of its own words")

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the control paths."""
        router.add_get("/_sim/ledger", self._ledger)
        router.add_get("/_sim/expected", self._expected)
        router.add_get("/_sim/state", self._state)
        for name, change in self.switches.items():
            router.add_post(f"/_sim/{name}", self._changing(change))
        router.add_get("/_sim/faults", self._faults)
        router.add_post("/_sim/faults", self._ask)
        router.add_delete("/_sim/faults", self._clear)

    # -- what every venue is told alike --------------------------------------------------------------------------------

    def set_rate(self, body: Mapping[str, Any]) -> None:
        rate = body["rate"]
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
            raise ValueError("rate must be zero or more events a second")
        self._controlled.rate = float(rate)

    def set_running(self, body: Mapping[str, Any]) -> None:
        if not isinstance(body.get("running"), bool):
            raise ValueError('say {"running": true} or {"running": false}')  # noqa: TRY004  told as the others
        if body["running"]:
            self._controlled.resume()
        else:
            self.pause(body)

    def pause(self, body: Mapping[str, Any]) -> None:
        """Let the market stand still."""
        self._controlled.pause()

    # -- the handlers --------------------------------------------------------------------------------------------------

    async def _ledger(self, request: web.Request) -> web.Response:
        try:
            return json_response(self.ledger(request.query))
        except ValueError as error:
            return _refused(str(error))

    async def _expected(self, request: web.Request) -> web.Response:
        try:
            return json_response(self.expected(request.query.get("symbol")))
        except KeyError as error:
            return _refused(f"there is no symbol {error}")

    async def _state(self, _request: web.Request) -> web.Response:
        return json_response(self.state())

    def _changing(self, change: Change) -> Callable[[web.Request], Any]:
        async def changed(request: web.Request) -> web.Response:
            try:
                change(await _body(request))
            except (FaultError, KeyError, TypeError, ValueError) as error:
                return _refused(f"{type(error).__name__}: {error}")
            return json_response(self.state())

        return changed

    async def _faults(self, _request: web.Request) -> web.Response:
        return json_response(self.known_faults())

    async def _ask(self, request: web.Request) -> web.Response:
        try:
            asked = await _body(request)
            name = asked.pop("fault", None)
            if not isinstance(name, str):
                return _refused('say which: {"fault": name}')
            return json_response(self._controlled.fault(name, **asked))
        except (FaultError, TypeError) as error:
            return _refused(str(error))

    async def _clear(self, _request: web.Request) -> web.Response:
        return json_response({"cleared": self._controlled.faults.clear()})


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise FaultError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise FaultError("the body must be a JSON object")
    return body


def json_response(answer: object) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=orjson.dumps(answer), content_type="application/json")


def _refused(why: str) -> web.Response:
    return web.Response(status=400, body=orjson.dumps({"error": why}), content_type="application/json")
