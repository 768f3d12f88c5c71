"""Those who want to hear that something has happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[], object]


class Listeners:
    """Listeners to one kind of event, told in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        return f"<Listeners {len(self._listeners)}>"

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Have a listener told of what happens inside the block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def tell(self) -> None:
        """Tell all of them."""
        for listener in tuple(self._listeners):
            listener()
