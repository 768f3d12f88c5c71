"""Names that people write: whether anything is called so, and what they may have meant.

Every command and every question of an analyst asks here, so that a name which means nothing is never answered with
"nothing found".
"""

from __future__ import annotations

__all__ = ["UnknownNameError", "is_pattern", "known_name", "matching", "meant"]

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from collector.errors import CollectorError

# Names that are listed where none is similar.
NAMES_LISTED_MAX = 12
SUGGESTED = 3


class UnknownNameError(CollectorError):
    """Nothing is called so. `what` says which kind of thing it would be: venue, symbol, stream, .."""

    def __init__(self, what: str, text: str) -> None:
        self.what = what
        super().__init__(text)


def known_name(what: str, name: str, known: Iterable[str], *, where: str = "here") -> str:
    """Return the name where something is called so; raise `UnknownNameError`, which tells what may be meant."""
    names = list(dict.fromkeys(known))
    if name not in names:
        raise UnknownNameError(what, f"there is no {what} {name!r} {where}{meant(name, names)}")
    return name


def matching(what: str, pattern: str, known: Iterable[str], *, where: str = "here") -> list[str]:
    """Return the names that a pattern of file names means; raise `UnknownNameError` where it means none."""
    names = list(dict.fromkeys(known))
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        if not is_pattern(pattern):
            known_name(what, pattern, names, where=where)
        raise UnknownNameError(what, f"no {what} {where} is like {pattern!r}{meant(pattern, names)}")
    return found


def is_pattern(text: str) -> bool:
    """Whether a text can mean several names."""
    return any(sign in text for sign in "*?[")


def meant(name: str, known: Collection[str]) -> str:
    """Return the end of a sentence: the names that are near, or the few that there are."""
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    near = get_close_matches(name.casefold(), list(folded), SUGGESTED)
    if near:
        return f"; did you mean {' or '.join(folded[one] for one in near)}?"
    if not known:
        return "; none is known"
    shown = sorted(known)[:NAMES_LISTED_MAX]
    more = f" and {len(known) - NAMES_LISTED_MAX:,} more" if len(known) > NAMES_LISTED_MAX else ""
    return f"; there is {', '.join(shown)}{more}"
