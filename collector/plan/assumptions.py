"""What is assumed of a stream of which nothing was recorded yet; docs/plan.md shows the same numbers.

They are of a busy instrument, a pair of bitcoin at a large venue, so that a first plan errs on the side of more. What
was recorded takes their place, stream by stream.
"""

from __future__ import annotations

from typing import Final

# Rows of one symbol in a day.
ROWS_PER_DAY: Final = {
    "trades": 100_000.0,
    "ticks": 400_000.0,
    "books": 600_000.0,
    "candles": 1_500.0,
    "derivatives": 90_000.0,
    "rates": 30_000.0,
    "news": 500.0,
}

# Bytes of a row in its table with its share of the indexes, not compressed.
ROW_BYTES: Final = {
    "trades": 190.0,
    "ticks": 220.0,
    "books": 420.0,
    "candles": 240.0,
    "derivatives": 220.0,
    "rates": 150.0,
    "news": 1_000.0,
}

# Bytes that the frames of one row take in a compressed journal; a candle is sent many times before it closes.
PACKED_FRAME_BYTES: Final = {
    "trades": 45.0,
    "ticks": 40.0,
    "books": 60.0,
    "candles": 2_000.0,
    "derivatives": 60.0,
    "rates": 40.0,
    "news": 600.0,
}
