"""What systemd is told, over real datagram sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from collector.daemon.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify") if request.param == "path" else f"\0{tmp_path}")
        bound.settimeout(5)
        yield bound


def address(listener: socket.socket) -> str:
    name = listener.getsockname()
    return name if isinstance(name, str) else "@" + bytes(name[1:]).decode()


def test_systemd_hears_of_a_whole_life(listener: socket.socket) -> None:
    with Notifier.from_environment({"NOTIFY_SOCKET": address(listener), "WATCHDOG_USEC": "3000000"}) as notifier:
        assert notifier.watchdog_seconds == 3.0
        notifier.ready()
        notifier.status("5 rows\nstored")
        notifier.watchdog()
        notifier.stopping()

    told = [listener.recv(100) for _ in range(4)]
    assert told == [b"READY=1", b"STATUS=5 rows stored", b"WATCHDOG=1", b"STOPPING=1"]


def test_the_same_status_is_not_sent_again(listener: socket.socket) -> None:
    with Notifier(address(listener)) as notifier:
        notifier.status("one")
        notifier.status("one")
        notifier.status("two")

    assert [listener.recv(100), listener.recv(100)] == [b"STATUS=one", b"STATUS=two"]


def test_nothing_happens_without_systemd() -> None:
    with Notifier.from_environment({"WATCHDOG_USEC": "3000000"}) as notifier:
        notifier.ready()
        notifier.watchdog()

        assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
    ],
)
def test_the_watchdog_is_fed_only_where_this_process_is_watched(
    variables: dict[str, str], seconds: float | None
) -> None:
    with Notifier.from_environment({"NOTIFY_SOCKET": "/run/x", **variables}) as notifier:
        assert notifier.watchdog_seconds == seconds


def test_a_systemd_that_is_gone_is_told_of_once_and_stops_nothing(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs, Notifier(str(tmp_path / "nobody")) as notifier:
        notifier.ready()
        notifier.status("on we go")

    assert [log["event"] for log in logs] == ["systemd_unreachable"]


def test_a_systemd_that_does_not_read_does_not_block_us(listener: socket.socket) -> None:
    with structlog.testing.capture_logs() as logs, Notifier(address(listener)) as notifier:
        for number in range(10_000):
            notifier.status(str(number))
            if logs:
                break

    assert logs[0]["event"] == "systemd_unreachable"
