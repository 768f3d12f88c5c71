"""Runs the daemon so that it kills itself at a named step: `launcher.py STEP CALL VICTIM run --config FILE`.

The product knows nothing of this. A step is a method of ours that is wrapped here, in the child process, before the
daemon starts; at its CALLth call the process kills itself, just before, in the middle of or just after it.
VICTIM is 0, or another process that is ended instead, without a chance to tidy up: a database server.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from collector.cli import main
from collector.journal.archive import Archive
from collector.journal.disk import RealDisk
from collector.journal.writer import SegmentWriter
from collector.repair.repairer import Repairer
from collector.store.writer import Writer


class Step(NamedTuple):
    """A method and the moment of its call at which the process ends; `call` is one that a second of recording sees."""

    owner: type
    method: str
    moment: Literal["before", "halfway", "after", "soon after"]
    call: int


STEPS = {
    "before a write": Step(RealDisk, "write_at", "before", 60),
    "half a write": Step(RealDisk, "write_at", "halfway", 60),
    "after a write": Step(RealDisk, "write_at", "after", 60),
    "before an fsync": Step(RealDisk, "sync", "before", 10),
    "after an fsync": Step(RealDisk, "sync", "after", 10),
    "a new segment is made": Step(SegmentWriter, "_begin", "after", 2),
    "a segment is packed": Step(Archive, "_compare", "before", 1),
    "before a commit": Step(Writer, "_store", "after", 5),
    "a commit is sent": Step(Writer, "_store", "soon after", 5),
    "after a commit": Step(Writer, "_transact", "after", 5),
    "before a gap is settled": Step(Repairer, "_settle", "before", 3),
    "after a gap is settled": Step(Repairer, "_settle", "after", 3),
}


def lay(step: Step, call: int, victim: int) -> None:
    """Wrap the step's method so that its CALLth call is the last, or the database's."""
    original: Callable[..., Any] = getattr(step.owner, step.method)
    numbers = itertools.count(1)

    def die() -> None:
        os.kill(victim or os.getpid(), signal.SIGQUIT if victim else signal.SIGKILL)

    async def awaited(*args: Any, **options: Any) -> Any:
        now = next(numbers) == call
        if now and step.moment == "before":
            die()
        result = await original(*args, **options)
        if now and step.moment == "after":
            die()
        if now and step.moment == "soon after":
            asyncio.get_running_loop().call_later(0.0005, die)  # what follows has been sent and not been answered
        return result

    def called(*args: Any, **options: Any) -> Any:
        now = next(numbers) == call
        if now and step.moment == "before":
            die()
        if now and step.moment == "halfway":
            disk, descriptor, data, offset = args
            original(disk, descriptor, data[: max(1, len(data) // 2)], offset)
            die()
        result = original(*args, **options)
        if now and step.moment == "after":
            die()
        return result

    setattr(step.owner, step.method, awaited if inspect.iscoroutinefunction(original) else called)


if __name__ == "__main__":
    lay(STEPS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
