"""How commands run coroutines: on uvloop where there is one, with errors that come out of task groups as themselves."""

from __future__ import annotations

__all__ = ["run"]

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from collector.errors import CollectorError

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. A `CollectorError` raised in a task group is raised alone: its text is what a person needs."""
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):  # an interpreter that it is not made for
        from uvloop import new_event_loop as new_loop
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work)
    except BaseExceptionGroup as group:
        told = group.subgroup(CollectorError)
        if told is None:
            raise
        error: BaseException = told
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group
