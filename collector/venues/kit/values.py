"""How names look at most venues, and how to show a value in an error."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Final

# The longest that a value is shown.
REASON_CHARACTERS: Final = 100

_BRIEF: Final = Repr()  # frames can be huge, or nest deeply
_BRIEF.maxlevel = 2
_BRIEF.maxdict = _BRIEF.maxlist = 4
_BRIEF.maxstring = _BRIEF.maxlong = 60
_NAME: Final = re.compile(r"[\x21-\x7e]{1,64}").fullmatch


def shorten(value: object) -> str:
    """Show a value in an error: printable, and never longer than a line."""
    text = _BRIEF.repr(value)
    return text if len(text) <= REASON_CHARACTERS else text[: REASON_CHARACTERS - 3] + "..."


def is_name(value: object) -> bool:
    """Tell whether it can be a symbol, an index or a currency: printable ASCII without blanks."""
    return type(value) is str and _NAME(value) is not None
