"""The faults that can be asked for; what one does is written where it strikes."""

from collections.abc import Callable
from typing import Final

from collector.simulator.kit.faults import Faults, Kind

KINDS: Final = {
    "429": Kind("armed", "calls are refused as over quota (`method`)", None),
    "5xx": Kind("armed", "calls get `status` (503) as in maintenance (`method`)", None),
    "envoy": Kind("armed", "a call gets status 500 with a text that is no JSON (`method`)"),
    "garbage": Kind("armed", "an answer is not JSON (`method`)"),
    "hang_up": Kind("armed", "the connection ends in place of an answer (`method`)"),
    "401": Kind("armed", "a call is refused as if its token were not valid (`method`)"),
    "403": Kind("armed", "no right to the data (`method`, `symbol`)", None),
    "404": Kind("armed", "the symbol is not known (`symbol`)", None),
    "empty_bars": Kind("armed", "bars come empty though there are some (`symbol`)"),
    "crossed_book": Kind("armed", "the next book answer is crossed (`symbol`)"),
    "duplicate_asset": Kind("armed", "a page of assets repeats the row before it", None),
    "silence": Kind("armed", "sockets are sent nothing, then all of it at once (`seconds`)", None),
    "expire": Kind("at once", "every session token ends now", None),
    "burst": Kind("at once", "so many trades of the `symbol` at once", 100),
    "repeat_trade": Kind("at once", "sockets get the newest trade of the `symbol` again, as a snapshot"),
    "lose_trades": Kind("armed", "trades of the `symbol` are not sent to sockets; lists and bars have them"),
    "short_list": Kind("armed", "lists of the `symbol`'s trades lack every third one; bars have them", None),
    "lose_book": Kind("armed", "book changes of the `symbol` are not sent"),
    "cut": Kind("at once", "sockets end without a close frame", None),
    "freeze": Kind("at once", "sockets fall silent, pings too", None),
    "ws_garbage": Kind("at once", "a socket message that is not JSON"),
    "ws_error": Kind("at once", "an ERROR envelope UNAUTHENTICATED"),
}


def faults(monotonic: Callable[[], float]) -> Faults:
    """Make the venue's faults; what other venues call a channel is a method here."""
    return Faults(KINDS, monotonic, channel_name="method")
