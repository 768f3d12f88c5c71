"""One client of the simulated FMex: its topics, and when it last pinged."""

import asyncio

from collector.simulator.kit.sockets import SimulatedSocket


class Connection(SimulatedSocket):
    """One client, which has to ping (cause `no_ping`); topics are in lower case, with what it wrote for each."""

    def __init__(self, transport: asyncio.Transport, address: str, now: float, buffer_limit: int) -> None:
        super().__init__(transport, address, buffer_limit)
        self.topics: dict[str, str] = {}
        self.pinged = now
