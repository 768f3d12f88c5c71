"""What is asked for beside the subscriptions (`req`): trades and bars of an outage, and the last word on a closed bar.

Nothing depends on an answer: one that does not come is asked for once more, and then left to the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collector.venues.events import Action, Send
from collector.venues.fmex.requests import asked_topic, req

ANSWER_SECONDS = 15.0
TRIES = 2
# Bars asked for when one was closed: the running one, the closed one, and one to spare.
REREAD_LIMIT = 3
# The venue may still be at work on a bar that has just ended.
REREAD_DELAY_SECONDS = 2.0


@dataclass(slots=True)
class _Asked:
    limit: int
    due: float
    sent: float | None = None
    tries: int = 0


class Past:
    """The requests that wait or are under way, one a topic at the most."""

    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}
        self._number = 0

    def want(self, topic: str, limit: int, now: float) -> None:
        """Ask for the newest items of a topic."""
        if limit > 0:
            self._asked[topic] = _Asked(limit, now)

    def bar_over(self, topic: str, now: float) -> None:
        """A bar has ended because the next one began: ask for the bars of its topic once more."""
        if topic not in self._asked:
            self._asked[topic] = _Asked(REREAD_LIMIT, now + REREAD_DELAY_SECONDS)

    def answered(self, request_id: str | None) -> None:
        """A request was answered, or refused."""
        topic = asked_topic(request_id) if request_id else None
        if topic is not None:
            self._asked.pop(topic, None)

    def tick(self, now: float) -> Sequence[Action]:
        actions: list[Action] = []
        for topic, asked in list(self._asked.items()):
            if asked.sent is not None and now - asked.sent < ANSWER_SECONDS:
                continue
            if asked.due > now:
                continue
            if asked.tries >= TRIES:
                del self._asked[topic]
                continue
            asked.tries += 1
            asked.sent = now
            self._number += 1
            actions.append(Send(req(topic, asked.limit, self._number)))
        return actions
