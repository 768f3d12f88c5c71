"""The faults that can be asked for, and which of them are armed.

This module decides *whether* a fault strikes; what it does is written where it strikes: books in `books`, other frames
in `hub` and `bad_frames`, commands in `commands`, REST in `server`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from collector.simulator.kit.faults import Faults, Kind

KINDS: Final[Mapping[str, Kind]] = {
    "skip_delta": Kind("armed", "the next changes of the symbol's book are not sent"),
    "broken_pre_seq": Kind("armed", "the next changes name another message than the one they follow"),
    "old_delta": Kind("armed", "after the next changes the ones before them are sent again"),
    "delta_before_whole": Kind("armed", "the next subscribed book begins with a change"),
    "no_whole": Kind("armed", "a book subscribed next comes without its first whole message", count=None),
    "zero_in_whole": Kind("armed", "the next whole books hold a level of amount 0"),
    "crossed_delta": Kind("armed", "the next changes make the book cross"),
    "repeat_trade": Kind("armed", "the next trades are sent twice"),
    "lose_trades": Kind("armed", "the next trades are not sent, and counted in candles all the same"),
    "changed_id": Kind("armed", "trades younger than a minute have other ids when they are read again", count=None),
    "null_id": Kind("armed", "the next answers to `req` have null for their id"),
    "no_answer": Kind("armed", "commands (`channel`: one of them, such as ping) are not answered", count=None),
    "refuse_topic": Kind("armed", "a command that names the topic (`symbol`) is refused, status 41002", count=None),
    "refuse_commands": Kind("armed", "commands are refused with `status` (50000) for a while", count=None),
    "no_hello": Kind("armed", "new connections are not greeted", count=None),
    "late_answers": Kind("armed", "answers to commands take `delay` seconds (0.4)", count=None),
    "429": Kind("armed", "REST calls are refused with HTTP status 429", count=None),
    "5xx": Kind("armed", "REST answers with HTTP `status` (503) and a page of HTML", count=None),
    "html": Kind("armed", "REST answers with HTTP status 200 and a page of HTML", count=None),
    "refuse_connections": Kind("armed", "new sockets are refused with HTTP `status` (503)", count=None),
    "cut": Kind("at once", "connections end without a close frame", count=None),
    "silence": Kind("at once", "connections fall silent, for `seconds` or for ever", count=None),
    "whole_in_the_middle": Kind("at once", "the whole book is sent to those who listen to its changes"),
    "garbage": Kind("at once", "a frame that is not JSON"),
    "truncated": Kind("at once", "half a message"),
    "wrong_types": Kind("at once", "a trade whose values have other types"),
    "unknown_type": Kind("at once", "a message of a type that does not exist"),
    "nan_price": Kind("at once", "a price of NaN, which is no JSON"),
    "long_numbers": Kind("at once", "a price and an amount of thirty digits"),
    "negative_amount": Kind("at once", "an amount below zero"),
    "year_9999": Kind("at once", "a time in the year 9999"),
    "unknown_symbol": Kind("at once", "a trade of a symbol that is not listed"),
    "odd_list": Kind("at once", "a book whose flat list has a price without an amount"),
}


def faults(monotonic: Callable[[], float]) -> Faults:
    """Give the venue's faults, none of them armed."""
    return Faults(KINDS, monotonic)
