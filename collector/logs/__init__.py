"""How the log looks: lines for people on a terminal, JSON for machines, always on stderr, never with a secret in it.

It is written by a thread (see `sink`), so that a log that cannot be written neither ends nor holds up what it tells of.

One event is one line with a stable name; facts are fields. Exceptions come without local variables, since these hold
tokens and whole frames.
"""

from __future__ import annotations

__all__ = ["KNOWN_SECRETS", "Secrets", "configure", "drain", "limiter", "lines_lost", "redactor"]

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

import orjson
import structlog
from pydantic import SecretBytes, SecretStr
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer, TimeStamper, format_exc_info
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from collector.escape import escaped, escaped_lines
from collector.logs import sink
from collector.logs.sink import drain, lines_lost

HIDDEN = "***"
# Shorter secrets are not searched for inside texts: they would black out ordinary words.
SECRET_MIN_CHARACTERS = 6

# Lines of one event in a minute; more are counted and dropped. A start with hundreds of symbols stays below it, a fault
# that repeats with every frame does not.
LINES_PER_MINUTE_MAX = 200

_SECRET_FIELDS = frozenset({"password", "token", "secret"})
_PASSWORD_IN_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)\S+(?=@)", re.IGNORECASE)
_SECRET_IN_PAIR = re.compile(r"(\b(?:password|passwd|token|secret)=)[^\s,;&'\"]+", re.IGNORECASE)


class Secrets:
    """Texts that must not be printed, and how to take them out of what is."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: frozenset[str] = frozenset()
        self._text: re.Pattern[str] | None = None
        self._json: re.Pattern[bytes] | None = None
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Hide these as well from now on, but for the shortest."""
        self._values |= {one for one in values if len(one) >= SECRET_MIN_CHARACTERS}
        longest_first = sorted(self._values, key=len, reverse=True)
        if longest_first:
            self._text = re.compile("|".join(map(re.escape, longest_first)))
            self._json = re.compile(b"|".join(re.escape(orjson.dumps(one)[1:-1]) for one in longest_first))

    def hide(self, text: str) -> str:
        """Return a text without them."""
        return self._text.sub(HIDDEN, text) if self._text else text

    def hide_in_json(self, body: bytes) -> bytes:
        """Return JSON without them."""
        return self._json.sub(HIDDEN.encode(), body) if self._json else body


# The secrets of this process: of each configuration that was loaded.
KNOWN_SECRETS = Secrets()


def configure(
    level: str = "info", form: str = "auto", *, secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Set structlog up, and the standard library's log with it.

    `level` is debug, info, warning or error; `form` console, json or auto (console on a terminal). `secrets` are texts
    that must not be printed, besides passwords in addresses.
    """
    stream = sink.of(stream or sys.stderr)
    KNOWN_SECRETS.learn(secrets)
    console = form == "console" or (form == "auto" and stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        TimeStamper(fmt="%H:%M:%S.%f" if console else "iso", utc=not console),
    ]
    last: list[Processor] = (
        [
            format_exc_info,
            redactor(KNOWN_SECRETS),
            _shown,
            ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain_traceback),
        ]
        if console
        else [_exception, redactor(KNOWN_SECRETS), JSONRenderer(serializer=_as_json)]
    )
    structlog.configure(
        processors=[*([limiter()] if threshold > logging.DEBUG else []), *first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    if isinstance(stream, sink.Sink):
        stream.mark = _mark([*first, *last])
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Limit())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # Libraries tell their steps at info; of theirs only what needs somebody is wanted.
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)


def _mark(processors: list[Processor]) -> Callable[[int], str]:
    """Return what makes the line that stands where others are missing."""
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=processors, wrapper_class=structlog.BoundLogger)

    def mark(count: int) -> str:
        line: str = log.warning("log_lines_lost", count=count)
        return line + "\n"

    return mark


def redactor(secrets: Iterable[str] | Secrets = ()) -> Processor:
    """Return a processor that hides secrets: their type, the given texts, passwords in addresses and `key=value`."""
    known = secrets if isinstance(secrets, Secrets) else Secrets(secrets)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            text = known.hide(value)
            text = _PASSWORD_IN_ADDRESS.sub(rf"\1{HIDDEN}", text) if "://" in text else text
            return _SECRET_IN_PAIR.sub(rf"\1{HIDDEN}", text)
        if isinstance(value, bool | int | float | None):
            return value
        if isinstance(value, SecretStr | SecretBytes):
            return HIDDEN
        if isinstance(value, Mapping):
            return {clean(key): clean(one) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(one) for one in value]
        return clean(value.decode(errors="replace") if isinstance(value, bytes) else str(value))

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        # Exceptions are texts by now, so none passes by.
        return {key: HIDDEN if key in _SECRET_FIELDS else clean(value) for key, value in event.items()}

    return redact


def limiter(lines: int = LINES_PER_MINUTE_MAX, now: Callable[[], float] = time.monotonic) -> Processor:
    """Return a processor that drops what comes of one event beyond so many lines a minute, and tells that it does.

    The last line before the limit has `held_back_s`, the first one after it `not_told`.
    """
    spans: dict[str, tuple[float, int]] = {}  # event to the beginning of its minute and the lines in it

    def limit(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        name, moment = str(event.get("event")), now()
        began, count = spans.get(name, (moment, 0))
        if moment - began >= 60:
            if count > lines:
                event["not_told"] = count - lines
            began, count = moment, 0
        spans[name] = (began, count + 1)
        if count >= lines:
            raise structlog.DropEvent
        if count == lines - 1:
            event["held_back_s"] = round(began + 60 - moment, 1)
        return event

    return limit


class _Limit(logging.Filter):
    """The same for libraries, by their texts: a stranger who sends garbage to the port must not fill a disk."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = limiter()

    def filter(self, record: logging.LogRecord) -> bool:
        event: EventDict = {"event": f"{record.name}: {record.msg}"}
        try:
            self._limit(None, record.levelname, event)
        except structlog.DropEvent:
            return False
        del event["event"]
        if event:
            record.msg += " (" + ", ".join(f"{name}={value}" for name, value in event.items()) + ")"
        return True


class _Quoted:
    """A text that the console's renderer shows in quotes, with escapes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _shown(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Let nothing of what a venue or a server said reach the terminal as an order; JSON escapes it by itself."""

    def show(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value.isprintable():
            return value
        if name == "exception":
            return escaped_lines(value)
        return escaped(value) if name == "event" else _Quoted(value)

    return {name: show(name, value) for name, value in event.items()}


_exception = ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def _as_json(event: EventDict, **_options: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
