"""The simulated venue as one object: its brokers, accounts, sessions and streams, and the slices in which it lives.

Tests that run in the same process use this directly: `step` makes events at once, `pause` makes everything sent final.
"""

import time
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Any, Final

from collector.simulator.kit.faults import FaultError
from collector.simulator.kit.settings import settings_of
from collector.simulator.kit.slices import Slices
from collector.simulator.metaapi import symbols
from collector.simulator.metaapi.accounts import Account
from collector.simulator.metaapi.engine import Session
from collector.simulator.metaapi.faults import AT_ONCE, Fault, Faults
from collector.simulator.metaapi.ledger import Ledger
from collector.simulator.metaapi.market import TICKS_MAX, Broker, Quoted, Tick
from collector.simulator.metaapi.requests import Requests
from collector.simulator.metaapi.terminal import Stream
from collector.simulator.options import Options

_SLICE_SECONDS: Final = 0.02
_BUSY_SLICE_SECONDS: Final = 0.005
_IDS: Final = {
    "demo": "8f6c4a3e-0b1d-4c5e-9a7b-2d3c4e5f6a71",
    "old": "1a2b3c4d-5e6f-4a7b-8c9d-0e1f2a3b4c52",
    "double": "5b6c7d8e-9f0a-4b1c-8d2e-3f4a5b6c7d83",
    "idle": "9e8d7c6b-5a49-4838-9271-60504f3e2d14",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The venue's own switches. Times are in seconds. `accounts` are those that the configuration names.

    There are `demo` (MetaTrader 5 in London), `old` (MetaTrader 4 in New York), `double` (two instances run) and
    `idle` (not deployed).
    """

    accounts: Sequence[str] = ("demo", "old")
    token: str = "header.simulated-token-of-nobody.signature"  # noqa: S105  opens nothing but this
    ping_interval: float = 25.0
    ping_timeout: float = 5.0
    status_every: float = 5.0
    history_hours: float = 2.0
    history_events: int = 4000
    kept_ticks: int = TICKS_MAX
    running: bool = True


class MetaapiVenue:
    """The running venue."""

    def __init__(self, options: Options) -> None:
        self.settings = settings_of(Settings, "metaapi", options)
        self.rate = options.rate
        self.running = self.settings.running
        self.address: dict[str, str] = {}
        self.faults = Faults(time.monotonic)
        self.ledger = Ledger()
        self.requests = Requests(self)
        self.requested: dict[str, int] = {}
        self.sessions: dict[str, Session] = {}
        self.streams: dict[tuple[str, str, int], Stream] = {}
        self.opened = 0
        self.events = 0
        self._clock_ns = options.clock_ns
        self._random = Random(options.seed)  # noqa: S311  a market, not a secret
        full = symbols.FULL[: options.symbols] if options.symbols else symbols.FULL
        self.brokers = [
            Broker("Simulated", full, 3, self._random.randrange(2**32), self.settings.kept_ticks),
            Broker("Elder", symbols.PLAIN, 2, self._random.randrange(2**32), self.settings.kept_ticks),
        ]
        self._weights = list(accumulate(one.weight for one in self.brokers))
        first, second = self.brokers
        self.accounts = {
            one.name: one
            for one in (
                Account(_IDS["demo"], "demo", first, "london"),
                Account(_IDS["old"], "old", second, "new-york", version=4, kind="cloud-g1", interval_ms=500),
                Account(_IDS["double"], "double", first, "london", reliability="high"),
                Account(_IDS["idle"], "idle", first, "london", state="UNDEPLOYED"),
            )
        }
        for one in self.brokers:
            one.make_history(self.now_ms(), self.settings.history_hours, self.settings.history_events)
        self.slices = Slices()
        self._stamp = self.now_ms()

    def __repr__(self) -> str:
        state = "running" if self.running else "paused"
        return f"<MetaapiVenue {state} at {self.rate:g}/s, {len(self.sessions)} sessions, {len(self.streams)} streams>"

    @property
    def config(self) -> str:
        """The TOML tables that point the collector at this venue."""
        lines = [
            "[venues.metaapi]",
            f'token = "{self.settings.token}"',
            f'base_url = "{self.address["url"]}"',
            'ticks = "both"',
            'candles = ["1m", "1h"]',
            "books_interval_ms = 200",
        ]
        for name in self.settings.accounts:
            lines += [f"[venues.metaapi.accounts.{name}]", f'id = "{self.accounts[name].id}"', 'symbols = ["*"]']
        return "\n".join([*lines, ""])

    def now_ms(self) -> int:
        """Give the venue's wall clock."""
        return self._clock_ns() // 1_000_000

    def name_of(self, account: Account, symbol: str) -> str:
        """Name an instrument as the configuration that goes with this venue does."""
        return f"{account.name}:{symbol}" if len(self.settings.accounts) > 1 else symbol

    def account_by_id(self, identity: object) -> Account | None:
        return next((one for one in self.accounts.values() if one.id == identity), None)

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live, slice by slice, until cancelled."""
        await self.slices.run(self.slice, lambda: _BUSY_SLICE_SECONDS if self.rate >= 500 else _SLICE_SECONDS)

    def slice(self, now: float) -> None:
        """Make and send what has become due since the last slice (`now` in monotonic seconds)."""
        if self.running:
            self._live(now)
        self.slices.last = now
        self._run_streams(now)
        limit = self.settings.ping_interval + self.settings.ping_timeout
        for session in list(self.sessions.values()):
            if session.frozen_until is not None and now >= session.frozen_until:
                session.frozen_until = None
            if now - session.heard > limit * 2 and not session.frozen:
                session.cut()
            if session.closed:
                self.disconnected(session)

    def _run_streams(self, now: float) -> None:
        now_ms = self.now_ms()
        for stream in list(self.streams.values()):
            if stream.session.frozen:
                continue
            if stream.account.state != "DEPLOYED":
                self.drop_stream(stream.session, stream.account, stream.instance)
                continue
            if not stream.attached and stream.attach_at and now >= stream.attach_at:
                stream.attach_at = 0.0
                stream.attach()
                stream.status_at = now
            if stream.attached and now >= stream.status_at and "silent_status" not in self.faults.armed:
                stream.status_at = now + self.settings.status_every
                stream.status()
            stream.run(now, now_ms)

    def _live(self, now: float) -> None:
        for time_ms in self.slices.moments(now, self.rate, self.now_ms()):
            self._step(time_ms)

    def _step(self, time_ms: int, broker: Broker | None = None) -> None:
        if broker is None:
            broker = self.brokers[bisect(self._weights, self._random.random() * self._weights[-1])]
        self._publish(broker, *broker.step(time_ms))

    def _publish(self, broker: Broker, quoted: Quoted, ticks: Sequence[Tick]) -> None:
        self.events += 1
        for stream in self.streams.values():
            if stream.account.broker is broker:
                for tick in ticks:
                    stream.take(quoted, tick)

    def step(self, events: int = 1, account: str | None = None) -> None:
        """Make so many events now, at this millisecond, and send them; for tests, market running or not.

        With `account` all of them are of its broker's symbols.
        """
        broker = None if account is None else self.accounts[account].broker
        for _ in range(events):
            self._step(self.now_ms(), broker)
        self._run_streams(time.monotonic())

    def pause(self) -> None:
        """Stop the market and send what waits for its interval: what has been sent then is final."""
        self.running = False
        for stream in self.streams.values():
            stream.flush(self.now_ms(), everything=True)

    def resume(self) -> None:
        self.slices.begin()
        self.running = True

    # -- sessions and streams ----------------------------------------------------------------------------------------

    def connected(self, now: float) -> Session:
        """Open a session."""
        self.opened += 1
        session = Session(f"sim{self.opened:06d}", now)
        self.sessions[session.sid] = session
        return session

    def disconnected(self, session: Session) -> None:
        session.closed = True
        self.sessions.pop(session.sid, None)
        for key in [key for key in self.streams if key[0] == session.sid]:
            del self.streams[key]

    def stream(self, session: Session, account: Account, instance: int) -> Stream | None:
        return self.streams.get((session.sid, account.id, instance))

    def open_stream(self, session: Session, account: Account, instance: int, session_id: str) -> Stream:
        """Return the session's stream of a terminal; there is never a second one."""
        key = session.sid, account.id, instance
        stream = self.streams.get(key)
        if stream is None:
            self._stamp = max(self._stamp, self.now_ms())
            stream = self.streams[key] = Stream(
                session, account, instance, session_id, self.ledger, self.faults, self.name_of, self._stamp
            )
        stream.session_id = session_id
        stream.attached = False
        return stream

    def drop_stream(self, session: Session, account: Account, instance: int) -> None:
        self.streams.pop((session.sid, account.id, instance), None)

    def send_present(self, stream: Stream, symbol: str) -> None:
        """Send a symbol's present state, since somebody has just subscribed to it."""
        quoted = stream.account.broker.quoted[symbol]
        stream.take(quoted, quoted.ticks[-1])

    # -- faults ------------------------------------------------------------------------------------------------------

    def fault(self, name: str, **asked: Any) -> dict[str, object]:
        """Ask for a fault (see `faults.KINDS`); `hit` tells what it struck at once. Raises `FaultError`."""
        account = asked.get("account")
        if account is not None and account not in self.accounts:
            raise FaultError(f"no account is called {account!r}")
        fault = self.faults.ask(name, **asked)
        answer: dict[str, object] = {"fault": name, "left": fault.left}
        if name in AT_ONCE:
            answer["hit"] = self._strike(fault)
        return answer

    def _strike(self, fault: Fault) -> int:
        streams = [one for one in self.streams.values() if fault.account in (None, one.account.name)]
        accounts = [one for one in self.accounts.values() if fault.account in (None, one.name)]
        hit = len(streams)
        match fault.name:
            case "cut":
                sessions = list({id(one.session): one.session for one in streams}.values())
                for session in sessions:
                    session.cut()
                    self.disconnected(session)
                return len(sessions)
            case "freeze":
                until = time.monotonic() + fault.number("seconds", 10**9)
                for one in streams:
                    one.session.frozen_until = until
            case "garbage":
                for one in streams:
                    one.session.send(
                        f'42["synchronization",{{"type":"accountInformation","accountId":"{one.account.id}",'
                        '"accountInformation":{"balance":73519.84,"equity":73620.17,'
                    )
            case "unknown_packet":
                for one in streams:
                    one.sequenced("novelty", ',"novelty":{"balance":73519.84},"extra":[1,2]')
            case "disconnected":
                for one in streams:
                    one.detach()
            case "broker_lost" | "broker_back":
                for account in accounts:
                    account.connected = fault.name == "broker_back"
                for one in streams:
                    one.status()
            case "undeploy" | "deploy":
                for account in accounts:
                    account.state = "DEPLOYED" if fault.name == "deploy" else "UNDEPLOYED"
                hit = len(accounts)
            case "downgrade":
                return sum(self._downgrade(one, fault) for one in streams)
            case "update":
                for one in streams:
                    one.update()
            case "burst":
                return self._burst(streams, fault)
            case "restart_numbers":
                for one in streams:
                    one.number = -1
        return hit

    def _downgrade(self, stream: Stream, fault: Fault) -> bool:
        symbol = fault.symbol or next(iter(stream.account.subscriptions), None)
        kinds = stream.account.subscriptions.get(symbol or "")
        if symbol is None or not kinds:
            return False
        interval = int(fault.number("interval_ms", 5000))
        updates = []
        for kind in kinds:
            name, _, timeframe = kind.partition("/")
            if name != "marketDepth":
                kinds[kind] = interval
                period = f',"timeframe":"{timeframe}"' if timeframe else ""
                updates.append(f'{{"type":"{name}"{period},"intervalInMilliseconds":{interval}}}')
        removed = '[{"type":"marketDepth"}]' if kinds.pop("marketDepth", None) is not None else "[]"
        body = f',"symbol":"{symbol}","updates":[{",".join(updates)}],"unsubscriptions":{removed}'
        stream.sequenced("downgradeSubscription", body)
        return True

    def _burst(self, streams: list[Stream], fault: Fault) -> int:
        if not streams:
            return 0
        broker = streams[0].account.broker
        quoted = broker.quoted[fault.symbol or next(iter(streams[0].account.subscriptions))]
        now_ms = self.now_ms()
        for _ in range(int(fault.number("ticks", 50))):
            self._publish(broker, quoted, quoted.step(now_ms))
        self._run_streams(time.monotonic())
        return len(streams)

    async def stop(self) -> None:
        """Cut who is still connected."""
        for session in list(self.sessions.values()):
            session.cut()
            self.disconnected(session)
