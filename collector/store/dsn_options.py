"""The options of a database address that libpq knows and our driver does not.

The driver passes an option that it does not know to the server as a setting, and the server then refuses the
connection. So each of libpq's options is either read here, or left out where that changes nothing, or refused by name
because we cannot do what it asks for.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

# Options that may be left out, and the values for which that changes nothing; None: all values.
_HARMLESS: dict[str, frozenset[str] | None] = {
    # Dead connections are noticed by our own time limits.
    "keepalives": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "keepalives_count": None,
    "tcp_user_timeout": None,
    # The connection is always UTF-8.
    "client_encoding": None,
    # Only for some values: the others ask for something that the driver cannot do.
    "channel_binding": frozenset({"disable", "prefer"}),
    "gssencmode": frozenset({"disable", "prefer"}),
    "gssdelegation": frozenset({"0"}),
    "load_balance_hosts": frozenset({"disable"}),
    "sslcertmode": frozenset({"allow", "disable"}),
    "sslcompression": frozenset({"0"}),
    "sslsni": frozenset({"1"}),
}

# Options that change where or how a connection is made, which the driver cannot do.
_UNSUPPORTED = frozenset({"hostaddr", "replication", "requirepeer", "servicefile", "sslcrldir", "sslkeylogfile"})
# What `require_auth` may name; `none`: the server lets us in without asking for anything.
LOGIN_METHODS = frozenset({"password", "md5", "gss", "sspi", "scram-sha-256", "none"})
# An address may ask for longer than that; while a connection is being made nothing else is tried, a stop included.
CONNECT_TIMEOUT_MAX_SECONDS = 60.0


class DsnOptions(NamedTuple):
    """What the options of an address ask for."""

    dsn: str
    """The address with only what the driver, or the server, understands."""
    connect_seconds: float | None
    """How long making a connection may take; None where the address does not say."""
    passed_over: tuple[str, ...]
    """Options that were left out because that changes nothing."""
    refused: tuple[str, ...]
    """Options, with their values, that ask for something that the driver cannot do."""
    login_methods: frozenset[str] | None
    """How the server may ask us to log in, by `require_auth`; None where the address does not say."""


def understand(dsn: str) -> DsnOptions:
    """Sort the options of an address. Never raises: an unreadable address is left for `connect` to refuse."""
    try:
        query = urlsplit(dsn).query
    except ValueError:
        query = ""
    if not query or "@" in query:  # an @ behind the question mark: it is a part of the password
        return DsnOptions(dsn, None, (), (), None)
    kept: list[tuple[str, str]] = []
    connect_seconds: float | None = None
    login_methods: frozenset[str] | None = None
    passed_over, refused = [], []
    options = parse_qsl(query, keep_blank_values=True)
    for name, value in options:
        if name in _HARMLESS:
            harmless = _HARMLESS[name]
            if harmless is None or value in harmless:
                passed_over.append(name)
            else:
                refused.append(f"{name}={value}")
        elif name in _UNSUPPORTED:
            refused.append(f"{name}={value}")
        elif name == "require_auth":
            login_methods = _allowed(value)
            if login_methods is None:
                refused.append(f"{name}={value}")
        elif name == "connect_timeout":
            seconds = int(value) if value.isascii() and value.isdigit() else None
            if seconds is None:
                refused.append(f"{name}={value}")
            elif seconds > 0:  # libpq waits for ever where it is 0; we never do
                connect_seconds = min(float(seconds), CONNECT_TIMEOUT_MAX_SECONDS)
        elif name == "fallback_application_name":
            if not any(other == "application_name" for other, _ in options):
                kept.append(("application_name", value))
        else:
            kept.append((name, value))
    bare = dsn[: dsn.index("?")]
    rest = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in kept)
    bare = f"{bare}?{rest}" if rest else bare
    return DsnOptions(bare, connect_seconds, tuple(passed_over), tuple(refused), login_methods)


def _allowed(methods: str) -> frozenset[str] | None:
    """Read `require_auth`: methods that are allowed, or each with a `!`, forbidden. None: it is neither."""
    names = [name.strip() for name in methods.split(",")]
    forbidden = [name[1:] for name in names if name.startswith("!")]
    if not {name.removeprefix("!") for name in names} <= LOGIN_METHODS or len(forbidden) not in (0, len(names)):
        return None
    return LOGIN_METHODS - set(forbidden) if forbidden else frozenset(names)
