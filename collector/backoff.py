"""Growing delays between tries: doubled from try to try, capped, and spread so that many do not try at once."""

from __future__ import annotations

from random import Random

# The longest delay, unless the caller names another.
BACKOFF_MAX_SECONDS = 60.0
# Between which parts of the grown delay the real one lies, unless told otherwise.
SPREAD = (0.2, 1.0)
# Any delay that is not capped before has reached years by then.
MOST_DOUBLINGS = 30


def retry_seconds(
    attempt: int,
    random: Random,
    *,
    first: float,
    longest: float = BACKOFF_MAX_SECONDS,
    spread: tuple[float, float] = SPREAD,
) -> float:
    """Return the delay before try number `attempt`; 1 is the first after a failure. `longest` bounds it unspread."""
    grown = min(longest, first * 2.0 ** min(attempt - 1, MOST_DOUBLINGS))
    return grown * random.uniform(*spread)


class Backoff:
    """The delays of one who tries again and again. The first is short, so that a cut line is back at once."""

    def __init__(
        self,
        random: Random,
        *,
        first: float = 0.5,
        longest: float = BACKOFF_MAX_SECONDS,
        spread: tuple[float, float] = SPREAD,
    ) -> None:
        self._random = random
        self._first = first
        self._spread = spread
        self.longest = longest
        """The longest delay; may be changed."""
        self._attempt = 0

    def next(self, at_most: float | None = None) -> float:
        """Return how long to wait before the next try; `at_most` bounds this delay alone, and the next ones grow on."""
        self._attempt += 1
        longest = self.longest if at_most is None else min(self.longest, at_most)
        return retry_seconds(self._attempt, self._random, first=self._first, longest=longest, spread=self._spread)

    def reset(self) -> None:
        """Start with the short delays again."""
        self._attempt = 0
