"""A machine whose disk fails at random and whose power is cut: the journal's folder, and what of it is on the disk.

The folder is a real one, so that readers read real files: it shows what the kernel's cache would. Beside it the model
keeps what a power cut would leave: of each file the bytes that were synced, and of the folder the names that were.
What was not synced survives a power cut in pieces, or not. A sync that fails may have lost what it was to write, for
good: the next one succeeds and means nothing.

Two things are kinder than the worst disk: names reach the disk in their order, as they do on the journalling file
systems in use, and what a failed sync has lost and the cache still shows is written after all when the process dies
before it could make it good. Nobody could do anything about the latter.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

# What a power cut keeps or loses as a whole; small, since the segments of these tests are.
PIECE_BYTES = 64
PLENTY = 1 << 40
REFUSALS = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)
# Made without the disk, and of no meaning to a process that begins.
NOT_THE_DISKS = ("lock",)


class Death(BaseException):
    """The process is no more. No Exception: nothing may catch it and go on."""


@dataclass
class Faults:
    """How often what goes wrong, as shares of the calls."""

    refused: float = 0.0
    """Any call at all."""
    short: float = 0.0
    """Writes that take only a part."""
    lost: float = 0.0
    """Syncs that fail and lose what they were to write."""
    hidden: bool = True
    """The cache may not show either what a sync has lost."""
    slow_seconds: float = 0.0
    """Calls take up to so long."""
    errors: tuple[int, ...] = REFUSALS


class Write(NamedTuple):
    """Bytes on their way to the disk; None in the place of bytes: the file ends at the offset."""

    offset: int
    data: bytes | None


@dataclass(eq=False)
class Inode:
    """A file, whatever its names: what of it is on the disk for certain, and what is on its way."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)
    lost: list[Write] = field(default_factory=list)
    spoilt: bool = False
    """A sync has lost what even the cache does not show any more: it is in the memory of the process alone."""

    def took(self, write: Write, luck: bool) -> bool:
        """Take bytes if they are lucky; where the file ends is taken in any case."""
        if luck or write.data is None:
            self.put(write)
            return True
        return False

    def put(self, write: Write) -> None:
        if write.data is None:
            del self.durable[write.offset :]
            return
        self.durable += bytes(max(0, write.offset - len(self.durable)))
        self.durable[write.offset : write.offset + len(write.data)] = write.data


class Machine:
    """Lives through deaths of its processes and power cuts; `boot` gives the disk of the next process."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder = folder
        self.random = random
        self.faults = Faults()
        self.capacity: int | None = None
        """How many bytes fit on the disk; None for plenty."""
        self.injected: Counter[str] = Counter()
        """What went wrong, by name."""
        self.fuse: int | None = None
        """The process dies at this call from now on."""
        self.spoilt = False
        """The last process died while something was in its memory alone that it had written before."""
        self.lock = threading.RLock()
        self.names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._renamings: list[tuple[str, Inode | None]] = []
        self._disk: RandomDisk | None = None

    def boot(self) -> RandomDisk:
        """Return the disk of a new process; the last one is dead by then."""
        with self.lock:
            self.kill()
            self._disk = RandomDisk(self)
            return self._disk

    def kill(self) -> None:
        """End the process; what it has written is in the cache."""
        with self.lock:
            self.fuse = None
            self._end_process()
            for inode in self.names.values():
                inode.pending = inode.lost + inode.pending
                inode.lost = []

    def cut_power(self) -> None:
        """End the process and lose what was not synced, or parts of it."""
        with self.lock:
            self._end_process()
            self.fuse = None
            names = dict(self._durable_names)
            for name, inode in self._renamings[: self.random.randint(0, len(self._renamings))]:
                rename(names, name, inode)
            for entry in list(self.folder.iterdir()):
                if entry.name not in NOT_THE_DISKS:
                    entry.unlink()
            left: dict[Inode, Inode] = {}
            for name, inode in names.items():
                if inode not in left:
                    self._survive(inode)
                    left[inode] = Inode(inode.durable)
                (self.folder / name).write_bytes(inode.durable)
            self.names = {name: left[inode] for name, inode in names.items()}
            self._durable_names = dict(self.names)
            self._renamings = []
            self.injected["power cut"] += 1

    def _end_process(self) -> None:
        if self._disk is not None:
            self._disk.die()
            self._disk = None
            for inode in self.names.values():
                self.spoilt |= inode.spoilt
                inode.spoilt = False

    def _survive(self, inode: Inode) -> None:
        share = self.random.choice([0.0, 0.5, 0.9, 1.0])
        for write in pieces(inode.pending):
            if self.random.random() < share:
                inode.put(write)

    def rename(self, name: str, inode: Inode | None) -> None:
        rename(self.names, name, inode)
        self._renamings.append((name, inode))

    def names_are_durable(self) -> None:
        self._durable_names = dict(self.names)
        self._renamings = []

    def room(self) -> int:
        """How many bytes are free."""
        if self.capacity is None:
            return PLENTY
        return max(0, self.capacity - sum(entry.stat().st_size for entry in self.folder.iterdir()))


def rename(names: dict[str, Inode], name: str, inode: Inode | None) -> None:
    """Let a name stand for a file, and that file for no other; None: let the name be gone."""
    for old in [old for old, held in names.items() if held is inode]:
        del names[old]
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


def pieces(writes: list[Write]) -> list[Write]:
    """Cut writes into what the disk takes or loses as a whole."""
    cut: list[Write] = []
    for offset, data in writes:
        if data is None:
            cut.append(Write(offset, None))
        else:
            cut += [Write(offset + at, data[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES)]
    return cut


class RandomDisk:
    """Implements `collector.journal.disk.Disk` for one process on the machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._open: dict[int, Inode] = {}
        self._dead = False

    def die(self) -> None:
        """Let every call fail from now on."""
        self._dead = True
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    # -- what is asked of it ---------------------------------------------------------------------------------------

    def create(self, path: Path) -> int:
        with self._call("create") as machine:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            inode = self._open[fd] = Inode()
            machine.rename(path.name, inode)
            self._failed_after_all("create", lambda: self.close(fd))
            return fd

    def open(self, path: Path) -> int:
        with self._call("open") as machine:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._open[fd] = machine.names[path.name]
            return fd

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        with self._call("write") as machine:
            size = len(data)
            if size > 1 and self._happens(machine.faults.short, "short write"):
                size = machine.random.randint(1, size - 1)
            growth = offset + size - os.fstat(fd).st_size
            if growth > 0 and growth > (room := machine.room()):
                machine.injected["full"] += 1
                size -= growth - room
                if size <= 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = os.pwrite(fd, data[:size], offset)
            self._open[fd].pending.append(Write(offset, bytes(data[:taken])))
            return taken

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        with self._call("read"):
            return os.pread(fd, size, offset)

    def truncate(self, fd: int, size: int) -> None:
        with self._call("truncate"):
            os.ftruncate(fd, size)
            self._open[fd].pending.append(Write(size, None))

    def sync(self, fd: int) -> None:
        with self._call("sync") as machine:
            inode = self._open[fd]
            if self._happens(machine.faults.lost, "lost pages"):
                self._lose(fd, inode)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            for write in inode.pending:
                inode.put(write)
            inode.pending = []

    def replace(self, source: Path, target: Path) -> None:
        with self._call("replace") as machine:
            source.replace(target)
            machine.rename(target.name, machine.names[source.name])
            self._failed_after_all("replace")

    def unlink(self, path: Path) -> None:
        with self._call("unlink") as machine:
            path.unlink(missing_ok=True)
            machine.rename(path.name, None)

    def sync_directory(self, directory: Path) -> None:
        with self._call("directory sync") as machine:
            assert directory == machine.folder
            machine.names_are_durable()

    def close(self, fd: int) -> None:
        with self._machine.lock:
            if self._dead:
                raise Death
            os.close(fd)
            del self._open[fd]

    def free_bytes(self, directory: Path) -> int:
        with self._call("free bytes") as machine:
            return machine.room()

    def release(self) -> None: ...

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def _call(self, name: str) -> _Call:
        return _Call(self, name)

    def enter(self, name: str) -> Machine:
        machine = self._machine
        if machine.faults.slow_seconds:
            time.sleep(machine.random.random() * machine.faults.slow_seconds)
        machine.lock.acquire()
        try:
            self._live_on(name)
            self._obey(name)
        except BaseException:
            machine.lock.release()
            raise
        return machine

    def leave(self) -> None:
        self._machine.lock.release()

    def _live_on(self, name: str) -> None:
        machine = self._machine
        if not self._dead and machine.fuse is not None:
            machine.fuse -= 1
            if machine.fuse < 0:
                machine.injected[f"death at {name}"] += 1
                machine.kill()
        if self._dead:
            raise Death

    def _obey(self, name: str) -> None:
        machine = self._machine
        if self._happens(machine.faults.refused, f"refused {name}"):
            number = machine.random.choice(machine.faults.errors)
            machine.injected[errno.errorcode[number]] += 1
            raise OSError(number, os.strerror(number))

    def _failed_after_all(self, name: str, undo: Callable[[], object] = lambda: None) -> None:
        """Say of a call that was done that it was not, as a server far away does whose answer is lost."""
        if self._happens(self._machine.faults.refused, f"done and refused {name}"):
            undo()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _happens(self, share: float, name: str) -> bool:
        if share and self._machine.random.random() < share:
            self._machine.injected[name] += 1
            return True
        return False

    def _lose(self, fd: int, inode: Inode) -> None:
        """Drop what was to be written, or parts of it; the cache may show it further or may not."""
        random = self._machine.random
        hidden = self._machine.faults.hidden and random.random() < 0.5
        share = random.choice([0.0, 0.5, 1.0])
        lost = [write for write in pieces(inode.pending) if not inode.took(write, random.random() < share)]
        inode.pending = []
        if not hidden:
            inode.lost += lost
            return
        inode.spoilt = bool(lost)
        for offset, data in lost:
            assert data is not None
            held = bytes(inode.durable[offset : offset + len(data)])
            os.pwrite(fd, held.ljust(len(data), b"\0"), offset)


class _Call:
    """One call of a disk: alone, and refused or the last one now and then."""

    def __init__(self, disk: RandomDisk, name: str) -> None:
        self._disk = disk
        self._name = name

    def __enter__(self) -> Machine:
        return self._disk.enter(self._name)

    def __exit__(self, *_: object) -> None:
        self._disk.leave()
