"""The how-manieth equal trade: what makes a key of content where a venue's trade ids cannot be trusted.

The key of such a trade is made of what it says (time, price, size, side) and its ordinal among those of its instrument
that say the same: 0, 1, .. Socket, snapshot, REST and replay each count equal trades from 0, so n equal trades get the
ordinals 0 to n-1 everywhere, in whatever order a source tells them: the same set of keys. Which sources count together,
and which begin anew, is the venue's business.

Pages of history are numbered each by itself, so that nothing that is read beside them, before them or not at all can
matter: whoever asks for them lets a page begin with the first trade of a moment (a millisecond), although the page
before ended with some of that moment's trades. A page that ends within a moment gives a part of its keys, and the next
one all of them. Only where a moment fills a page the next one goes on within it, and is told what was counted so far
(`Moment`): by a note in the request, which is journalled with the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from collector.errors import VenueError
from collector.model import Instrument, content_key

REMEMBERED_US = 60_000_000
REMEMBERED_TRADES = 4096

# Among what a parser is told of a request: JSON of what equal trades say, to how many the pages before had of them.
#
# It is there, if only as an empty object, where the answer is numbered by itself. Answers that were journalled before
# this was so have none; their readers still count from answer to answer, as they did then.
COUNTED = "counted"
# Kinds of trades in a moment that fills pages; each page's request repeats them, 50 bytes each.
MOST_COUNTED = 20_000

_Identities = tuple[int | None, ...]

# What equal trades say, to their ids in the order of their ordinals (None: no id).
_Numbered = dict[str, _Identities]


def trade_key(content: str, ordinal: int) -> int:
    """Return a trade's key. `content` is time in microseconds, plain price, plain size and side with bars between."""
    return content_key(f"{content}|{ordinal}")


class Ordinals:
    """Remembers the equal trades of one instrument long enough to number them.

    Two generations of memory, the older one dropped when the younger is `REMEMBERED_US` of venue time or
    `REMEMBERED_TRADES` long: what is younger than that is always remembered up to that number, and never more than
    twice that number is held.
    """

    __slots__ = ("_newest_us", "_old", "_turn_us", "_young")

    def __init__(
        self, young: _Numbered | None = None, old: _Numbered | None = None, turn_us: int = 0, newest_us: int = 0
    ) -> None:
        self._young = {} if young is None else young
        self._old = {} if old is None else old
        self._turn_us = turn_us
        self._newest_us = newest_us

    def number(self, content: str, identity: int | None, time_us: int) -> int:
        """Return the ordinal of a trade: its former one when its id is known, else the next."""
        if time_us > self._newest_us:
            self._newest_us = time_us
            known = None
        else:
            known = self._young.get(content) or self._old.get(content)
        if known is None:
            if time_us > self._turn_us or len(self._young) >= REMEMBERED_TRADES:
                self._old, self._young, self._turn_us = self._young, {}, time_us + REMEMBERED_US
            self._young[content] = (identity,)
            return 0
        if identity is not None and identity in known:
            return known.index(identity)
        self._young[content] = (*known, identity)
        return len(known)

    def learn(self, content: str, identities: _Identities, time_us: int) -> None:
        """Know of these equal trades, in the order of their ordinals, unless at least as many of them are known.

        A list that is longer holds trades that were missed, and nobody knows which: its ids take the place of the known
        ones, so that the next trade is the one after its last.
        """
        known = self._young.get(content) or self._old.get(content) or ()
        if len(identities) <= len(known):
            return
        if not known:
            self.number(content, identities[0], time_us)  # which makes room
        self._young[content] = identities

    def fork(self) -> Ordinals:
        return Ordinals(self._young.copy(), self._old.copy(), self._turn_us, self._newest_us)


class Counts:
    """Numbers the equal trades of one list, from 0 or from what is told of the list's beginning."""

    __slots__ = ("_counts",)

    def __init__(self, before: Mapping[str, int] | None = None) -> None:
        self._counts: dict[str, tuple[_Identities, int]] = {
            content: ((None,) * count, 0) for content, count in (before or {}).items()
        }

    @classmethod
    def of_page(cls, told: Mapping[str, str]) -> Counts | None:
        """Return the counts that a page of history begins with; None for an answer that is not numbered by itself."""
        text = told.get(COUNTED)
        return None if text is None else cls(orjson.loads(text))

    def number(self, content: str, identity: int | None, time_us: int) -> int:
        """Return the ordinal of the list's next trade; its id is only kept, for those whom the list teaches."""
        identities, _ = self._counts.get(content, ((), 0))
        self._counts[content] = ((*identities, identity), time_us)
        return len(identities)

    def forget_after(self, time_us: int) -> None:
        """Drop what is later than this: a list that goes on backwards will not come to it again."""
        self._counts = {content: held for content, held in self._counts.items() if held[1] <= time_us}

    def teach(self, ordinals: Ordinals) -> None:
        """Let trades that come one by one count on from here."""
        for content, (identities, time_us) in self._counts.items():
            ordinals.learn(content, identities, time_us)

    def fork(self) -> Counts:
        copy = Counts()
        copy._counts = self._counts.copy()
        return copy


class Moment:
    """The trades of a moment that fills pages, counted along one paging for the request of its next page."""

    def __init__(self, venue: str, instrument: Instrument) -> None:
        self._venue = venue
        self._instrument = instrument
        self._time: int | None = None
        self._counts: dict[str, int] = {}

    def fill(self, time: int, contents: Iterable[str]) -> None:
        """A page ended within this moment, of which it had these trades; the next one goes on behind them.

        Raises `VenueError` where that is more than can be told.
        """
        if time != self._time:
            self._time, self._counts = time, {}
        for content in contents:
            self._counts[content] = self._counts.get(content, 0) + 1
        if len(self._counts) > MOST_COUNTED:
            reason = f"more than {MOST_COUNTED:,} kinds of trades in one moment"
            raise VenueError(self._venue, reason, symbol=self._instrument.symbol, permanent=True)

    def end(self) -> None:
        """The next page begins with the first trade of a moment."""
        self._time, self._counts = None, {}

    @property
    def notes(self) -> dict[str, str]:
        """What the parser has to be told of the next page."""
        return {COUNTED: orjson.dumps(self._counts).decode()}
