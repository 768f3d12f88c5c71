"""One channel as the hub sees it: who listens to which symbol, and what was last said."""

from collections.abc import Iterable

from collector.simulator.fmfw.channels import Channel
from collector.simulator.fmfw.connection import Connection

Subscribers = dict[Connection, None]


class Topic:
    """One channel with one target currency (or none): its subscribers and the last state sent, by symbol."""

    def __init__(self, channel: Channel, target: str) -> None:
        self.channel = channel
        self.target = target
        self.key = f"{channel.name}@{target}" if target else channel.name
        self.head = f'{{"ch":"{channel.name}",' + (f'"target_currency":"{target}",' if target else "")
        self.subscribers: dict[str, Subscribers] = {}
        self.last: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return f"<Topic {self.key} {len(self.subscribers)} symbols>"

    def message(self, kind: str, items: Iterable[tuple[str, str]]) -> str:
        """Write one message of (symbol, payload) pairs."""
        pairs = [f'"{key}":{text}' for key, text in items]
        return f'{self.head}"{kind}":{{{",".join(pairs)}}}}}'
