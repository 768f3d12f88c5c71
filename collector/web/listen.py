"""The sockets that the status page listens on, and the errors that name the setting to change.

An address may be missing only for now: the machine is still starting, or another program ends soon. So these errors are
no faults of the configuration, which would end the daemon: the page is tried again.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from ipaddress import ip_address

from collector.errors import CollectorError

LISTEN_KEY = "http.listen"
LISTEN_BACKLOG = 128


class ListenError(CollectorError):
    """Nothing can be listened on at `http.listen`; the text says what to change."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Open listening sockets on every address of `host`, all on one port; port 0 takes any free one.

    An address that the machine does not have (`localhost` names ::1 even where IPv6 is switched off) is left out as
    long as another one remains.

    Raises:
        ListenError: nothing can be listened on.

    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise _fault(host, port, f"{host} is not an address of this machine ({error})") from error
    missing: OSError | None = None
    sockets: list[socket.socket] = []
    with ExitStack() as undo:
        for family, _, _, _, place in dict.fromkeys(found):
            try:
                bound = _bound(family, (place[0], port, *place[2:]))
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise _refused(host, port, error) from error
                missing = error
                continue
            undo.callback(bound.close)
            sockets.append(bound)
            port = port or bound.getsockname()[1]
        if not sockets:
            raise _refused(host, port, missing or OSError(errno.EADDRNOTAVAIL, "no address")) from missing
        undo.pop_all()
    return sockets


def _bound(family: int, place: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
        bound.listen(LISTEN_BACKLOG)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def url(bound: socket.socket) -> str:
    """Return the address that leads to a socket, for people and clients on this machine."""
    host, port = bound.getsockname()[:2]
    return f"http://{reachable(host)}:{port}"


def reachable(host: str) -> str:
    """Return where to connect to what listens on `host`, as written in a URL: "every address" is none to go to."""
    try:
        number = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if number.is_unspecified:
        return "127.0.0.1" if number.version == 4 else "[::1]"
    return str(number) if number.version == 4 else f"[{number}]"


def _refused(host: str, port: int, error: OSError) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        problem = f"port {port} on {host} is taken by another program"
    elif error.errno == errno.EACCES:
        problem = f"port {port} may only be opened by root"
    elif error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        problem = f"{host} is not an address of this machine"
    else:
        problem = f"cannot listen on {host} port {port} ({error.strerror or error})"
    return _fault(host, port, problem)


def _fault(host: str, port: int, problem: str) -> ListenError:
    shown = f"[{host}]" if ":" in host else host
    if "taken" in problem:
        remedy = f'stop it (perhaps another collector), or set another one, such as "{shown}:{port % 65535 + 1}"'
    elif "root" in problem:
        remedy = f'set one above 1023, such as "{shown}:8080"'
    else:
        remedy = 'set an address of this machine, such as "127.0.0.1:8080"'
    return ListenError(f"{LISTEN_KEY}: {problem} ({remedy})")
