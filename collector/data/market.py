"""The market in Python: questions in, frames out.

    from collector.data import Market

    with Market("postgresql://analyst@db.example/market") as market:
        bars = market.ohlcv("fmfw", "BTCUSDT", "1h", "2026-11-01", "2026-11-08")

`Market` waits for each answer and works where an event loop is running already, as in a notebook. `AsyncMarket` is the
same for coroutines. Both read only, with one connection.
"""

from __future__ import annotations

__all__ = ["AsyncMarket", "Market"]

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from collector.data.asking import Asking
from collector.data.errors import ClosedError
from collector.data.frames import Kind, framed, needs
from collector.data.questions import Questions
from collector.data.source import Source

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Frame = TypeVar("Frame")
T = TypeVar("T")


class AsyncMarket(Questions[Coroutine[Any, Any, Frame]]):
    """A market to be awaited: `await market.trades("fmfw", "BTCUSDT")`. See `Market` for the arguments."""

    @overload
    def __init__(
        self: AsyncMarket[pd.DataFrame],
        source: Source = None,
        *,
        frames: Literal["pandas"] = "pandas",
        floats: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncMarket[pl.DataFrame], source: Source = None, *, frames: Literal["polars"], floats: bool = False
    ) -> None: ...
    @overload
    def __init__(
        self: AsyncMarket[pa.Table], source: Source = None, *, frames: Literal["arrow"], floats: bool = False
    ) -> None: ...

    def __init__(self, source: Source = None, *, frames: Kind = "pandas", floats: bool = False) -> None:
        needs(frames)
        self._frames = frames
        self._asking = Asking(source, floats=floats)

    async def __aenter__(self) -> AsyncMarket[Frame]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, and stop the server if it was started for this market."""
        await self._asking.close()

    async def _ask(self, query: str, *arguments: Any) -> Frame:
        answer = await self._asking.ask(query, arguments)
        frame: Frame = await asyncio.to_thread(framed, answer, self._frames)
        return frame


class Market(Questions[Frame], Generic[Frame]):
    """A recorded market.

    `source` is a `postgresql://` address, a configuration file or the folder that one is in, or a `Config`; None is the
    configuration that the commands would take. A configuration without `database.dsn` keeps a server of its own: it is
    used where it runs, and else started for as long as the market is open.

    `frames` are pandas, polars or arrow. Numbers are exact: `Decimal` in pandas, `Decimal(38, scale)` in polars. One
    scale serves a column, and numbers of more digits than decimals hold are text. `floats=True` gives floats.

    Raises `ExtraMissingError` where a package is missing; `ConfigError`, `DatabaseError` and `QueryError` when asked.
    """

    @overload
    def __init__(
        self: Market[pd.DataFrame],
        source: Source = None,
        *,
        frames: Literal["pandas"] = "pandas",
        floats: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: Market[pl.DataFrame], source: Source = None, *, frames: Literal["polars"], floats: bool = False
    ) -> None: ...
    @overload
    def __init__(
        self: Market[pa.Table], source: Source = None, *, frames: Literal["arrow"], floats: bool = False
    ) -> None: ...

    def __init__(self, source: Source = None, *, frames: Kind = "pandas", floats: bool = False) -> None:
        self._loop = _Loop()
        market: Any = AsyncMarket  # whose own kinds of frames are the same
        self._market: AsyncMarket[Frame] = market(source, frames=frames, floats=floats)

    def __enter__(self) -> Market[Frame]:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and stop the server if it was started for this market. Twice is once."""
        if self._loop.running:
            try:
                self._loop.run(self._market.close())
            finally:
                self._loop.stop()

    def _ask(self, query: str, *arguments: Any) -> Frame:
        return self._loop.run(self._market._ask(query, *arguments))  # noqa: SLF001  its own


class _Loop:
    """An event loop in a thread of its own: the caller's thread may be running one already."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def running(self) -> bool:
        return self._thread is not None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end; an interrupt of the caller ends the work."""
        if self._stopped:
            work.close()
            raise ClosedError("this market was closed: make another one")
        if self._thread is None:
            # A daemon: who forgets to close can still leave. A server that was started for us ends with the process.
            self._thread = threading.Thread(target=self._loop.run_forever, name="collector-market", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self._stopped = True
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._thread = None
        self._loop.close()
