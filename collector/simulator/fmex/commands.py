"""What clients may send on the socket: ping, sub, unsub, req.

A command is checked whole before anything of it happens: one bad topic refuses all of it.
"""

import json
from collections.abc import Callable
from typing import Any, Final, Protocol

from collector.simulator.fmex.connection import Connection
from collector.simulator.fmex.topics import Topic, parse
from collector.simulator.kit.faults import Fault, Faults

# Topics that one command may name.
TOPICS_MAX: Final = 20
_INVALID_TOPIC: Final = 41002
# Rows that a request of the past gets without a `limit`.
_DEFAULT_LIMIT: Final = 20


class Shop(Protocol):
    """What commands ask of the venue."""

    faults: Faults

    def now_ms(self) -> int: ...
    def has(self, topic: Topic) -> bool: ...
    def subscribe(self, connection: Connection, topic: Topic, written: str) -> None: ...
    def unsubscribe(self, connection: Connection, topic: Topic) -> None: ...
    def past(self, topic: Topic, limit: int, before: int | None) -> str | None: ...


class CommandError(Exception):
    """A command was refused."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


class Commands:
    """Answers clients' messages. With `of_command` a list of topics names those of the command, else all."""

    def __init__(self, shop: Shop, *, of_command: bool) -> None:
        self._shop = shop
        self._of_command = of_command

    def handle(
        self, connection: Connection, text: str, now: float, later: Callable[[float, Callable[[], None]], None]
    ) -> None:
        """Answer one message at `now` (monotonic seconds), through `later` when answers are to be late."""
        command_id: object = None
        try:
            message = _message(text)
            command_id, name, arguments = message.get("id"), message.get("cmd"), message.get("args", [])
            faults = self._shop.faults
            if name == "ping":
                connection.pinged = now
            if faults.armed:
                if faults.take("no_answer", channel=str(name)):
                    return
                refused = faults.take("refuse_commands", channel=str(name)) if name != "ping" else None
                if refused is not None:
                    raise CommandError(int(refused.number("status", 50_000)), "try again later")  # noqa: TRY301
                late: Fault | None = faults.take("late_answers", channel=str(name))
                if late is not None:
                    later(now + late.number("delay", 0.4), lambda: self._perform(connection, message))
                    return
            self._answer(connection, command_id, str(name), arguments)
        except CommandError as error:
            _refuse(connection, error, command_id)

    def _perform(self, connection: Connection, message: dict[str, Any]) -> None:
        try:
            self._answer(connection, message.get("id"), str(message.get("cmd")), message.get("args", []))
        except CommandError as error:
            _refuse(connection, error, message.get("id"))

    def _answer(self, connection: Connection, command_id: object, name: str, arguments: Any) -> None:
        if not isinstance(arguments, list):
            raise CommandError(_INVALID_TOPIC, "args is not a list")
        match name:
            case "ping":
                self._ping(connection, command_id, arguments)
            case "sub" | "unsub":
                self._topics(connection, command_id, arguments, leave=name == "unsub")
            case "req":
                self._past(connection, command_id, arguments)
            case _:
                raise CommandError(40_000, f"invalid cmd, {name}")

    def _ping(self, connection: Connection, command_id: object, arguments: list[Any]) -> None:
        now_ms = self._shop.now_ms()
        client_ms = arguments[0] if arguments and isinstance(arguments[0], int | float) else now_ms
        answer = {"type": "ping", "ts": now_ms, "gap": round(now_ms - client_ms)}
        connection.send(_json(({"id": command_id} if command_id is not None else {}) | answer))

    def _topics(self, connection: Connection, command_id: object, arguments: list[Any], *, leave: bool) -> None:
        if len(arguments) > TOPICS_MAX:
            raise CommandError(_INVALID_TOPIC, f"invalid sub topic, more than {TOPICS_MAX} topics")
        topics = [(self._known(written), written) for written in arguments]
        if leave:
            for topic, _ in topics:
                self._shop.unsubscribe(connection, topic)
        new = [] if leave else [pair for pair in topics if pair[0].text not in connection.topics]
        for topic, written in new:
            connection.topics[topic.text] = written
        named = [topic.text for topic, _ in topics] if self._of_command and not leave else list(connection.topics)
        answer = {"type": "topics", "topics": named}
        connection.send(_json(({"id": command_id} if command_id is not None else {}) | answer))
        for topic, written in new:
            self._shop.subscribe(connection, topic, written)

    def _past(self, connection: Connection, command_id: object, arguments: list[Any]) -> None:
        topic = self._known(arguments[0] if arguments else None)
        limit = arguments[1] if len(arguments) > 1 else _DEFAULT_LIMIT
        before = arguments[2] if len(arguments) > 2 else None
        if not isinstance(limit, int) or limit < 1 or not (before is None or isinstance(before, int)):
            raise CommandError(40_003, "invalid limit")
        data = self._shop.past(topic, limit, before)
        if data is None:
            raise CommandError(_INVALID_TOPIC, f"invalid req topic, {topic.text}")
        shown = None if self._shop.faults.take("null_id") else command_id
        ts = f'"ts":{self._shop.now_ms()},' if topic.kind == "trade" else ""
        connection.send(f'{{"id":{_json(shown)},{ts}"data":{data}}}')

    def _known(self, written: object) -> Topic:
        topic = parse(written) if isinstance(written, str) else None
        if topic is None or not self._shop.has(topic) or self._shop.faults.take("refuse_topic", topic.symbol):
            raise CommandError(_INVALID_TOPIC, f"invalid sub topic, {written}")
        return topic


def _message(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise CommandError(40_000, "invalid message")
    return message


def _refuse(connection: Connection, error: CommandError, command_id: object) -> None:
    answer = {"status": error.status, "msg": error.message}
    connection.send(_json(({"id": command_id} if command_id is not None else {}) | answer))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
