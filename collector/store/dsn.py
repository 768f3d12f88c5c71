"""Database addresses without their passwords, and the one function that opens connections.

All connections are opened by `connect`, so that the driver's own errors, which may quote a password, reach no log.
"""

from __future__ import annotations

__all__ = ["CONNECT_TIMEOUT_SECONDS", "DRIVER_ERRORS", "address", "connect", "refusals"]

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import asyncpg

from collector.store.authentication import Checked
from collector.store.dsn_options import understand
from collector.store.errors import DatabaseRefusedError, DatabaseUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# For making a connection where the address does not say: enough for a server on another continent that is busy.
CONNECT_TIMEOUT_SECONDS = 10.0

# What the driver raises where the server refuses or is away, or where the line is cut in the middle of a query.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# The end of a sentence that names an option.
UNSUPPORTED_OPTION_REMEDY = "which this program cannot keep: leave it out"

_HOST = r"(?:[\w.%-]*|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?"
_SHAPE = re.compile(
    rf"postgres(?:ql)?://(?:(?P<user>[^:@/?#]*)(?::[^@/?#]*)?@)?(?P<place>{_HOST}(?:,{_HOST})*)"
    r"(?:/(?P<name>[^?#@/]*))?(?:[?#][^@]*)?"
)

_NOT_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


def _is_known(error: asyncpg.PostgresError) -> bool:
    """Whether `refusals` translates this error."""
    return isinstance(error, (*_NOT_YET, *_REFUSED))


def address(dsn: str) -> str:
    """Show where a DSN points (`user@host:port/database`), without its password and without its options.

    A DSN of any other shape is not shown at all: in `user:pa/ss@host` every part may be a piece of the password.
    """
    parts = _SHAPE.fullmatch(dsn)
    if parts is None:
        return "the configured database"
    user, place, name = parts["user"], parts["place"], parts["name"]
    return unquote((f"{user}@" if user else "") + (place or "local socket") + (f"/{name}" if name else ""))


async def connect(dsn: str, *, timeout_seconds: float | None = None) -> asyncpg.Connection:
    """Open a connection, or raise a `DatabaseError` that says why that failed.

    The time-out is `timeout_seconds`, else what the address asks for, else `CONNECT_TIMEOUT_SECONDS`. How the server
    may ask for the password is checked by `collector.store.authentication`.
    """
    options = understand(dsn)
    if options.refused:
        asked = ", ".join(options.refused)
        raise DatabaseRefusedError(f"{address(dsn)}: the address asks for {asked}, {UNSUPPORTED_OPTION_REMEDY}")
    checked = Checked(asyncio.get_running_loop(), options.login_methods)
    with refusals(dsn):
        try:
            with _trusted(dsn, checked):
                return await asyncpg.connect(
                    options.dsn,
                    timeout=timeout_seconds or options.connect_seconds or CONNECT_TIMEOUT_SECONDS,
                    loop=cast("asyncio.AbstractEventLoop", checked),
                )
        except asyncpg.PostgresError as error:
            if _is_known(error):
                raise
            raise DatabaseRefusedError(f"{_where(dsn)}: the server refuses ({_first_line(error)})") from error
        except ValueError:
            # The driver's own text may quote the part of the address that it stumbled over: the password.
            raise DatabaseRefusedError(
                "the database address cannot be read: it has the form postgresql://user:password@host:port/database, "
                "with % @ : / in a name or password written as %25 %40 %3A %2F"
            ) from None


@contextmanager
def _trusted(dsn: str, checked: Checked) -> Iterator[None]:
    """Raise our reason, where it was we who gave the connection up."""
    try:
        yield
    except Exception as error:
        if checked.refusal is None:
            raise
        raise DatabaseRefusedError(f"{address(dsn)}: the server is not trusted: {checked.refusal}") from error


@contextmanager
def refusals(dsn: str | Callable[[], str]) -> Iterator[None]:
    """Translate what the driver raises about reaching and entering a database into our errors.

    `dsn` is the address, or gives it: it is asked for only where there is something to translate.
    """
    try:
        yield
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise DatabaseRefusedError(
            f"{_where(dsn)}: the login was refused ({_first_line(error)}); check user and password"
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseRefusedError(f"{_where(dsn)}: there is no such database; create it with `createdb`") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseRefusedError(
            f"{_where(dsn)}: {_first_line(error)}; grant this right, or log in as the owner"
        ) from error
    except _NOT_YET as error:
        raise DatabaseUnreachableError(f"{_where(dsn)}: not now ({_first_line(error)})") from error
    except TimeoutError as error:
        raise DatabaseUnreachableError(
            f"{_where(dsn)}: no answer in time; is the address right, and the network open?"
        ) from error
    except PermissionError as error:
        raise DatabaseRefusedError(
            f"{_where(dsn)}: {error.filename or 'a certificate'} cannot be read; is HOME this account's own?"
        ) from error
    except OSError as error:
        raise DatabaseUnreachableError(
            f"{_where(dsn)}: nobody answers ({error.strerror or error}); is the server running?"
        ) from error


def _where(dsn: str | Callable[[], str]) -> str:
    return address(dsn if isinstance(dsn, str) else dsn())


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
