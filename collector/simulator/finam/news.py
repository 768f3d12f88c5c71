"""The venue's two feeds of headlines: RSS beside the API, without a token, one of them in an old encoding."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Final
from xml.sax.saxutils import escape

PATHS: Final = {"ru": "/analysis/conews/rsspoint/", "us": "/international/advanced/rsspoint/"}
_ENCODINGS: Final = {"ru": "windows-1251", "us": "utf-8"}
_WORDS: Final = {
    "ru": (("Сбербанк", "Газпром", "Рынок", "Рубль"), ("растёт", "снижается", "ждёт новостей & решений", "стоит")),
    "us": (("Apple", "The S&P 500", "Oil", "The Fed"), ("gains", "falls", "waits for <news>", "holds")),
}
# Headlines in one answer; older ones have dropped out of it.
_HEADLINES_MAX: Final = 15


@dataclass(frozen=True, slots=True)
class Headline:
    """One item. Some have no guid, and some of these no link either."""

    time_us: int
    title: str
    link: str | None
    guid: str | None


class Feeds:
    """Both feeds; each answer of a running venue has one headline more."""

    def __init__(self, seed: int, now_us: Callable[[], int]) -> None:
        self._random = Random(seed)  # noqa: S311  headlines guard nothing
        self._now_us = now_us
        self._made = 0
        self._kept: dict[str, list[Headline]] = {source: [] for source in PATHS}
        for source in PATHS:
            for age in range(_HEADLINES_MAX, 0, -1):
                self._add(source, now_us() - age * 600_000_000)

    def answer(self, source: str, *, more: bool) -> tuple[bytes, list[Headline]]:
        """Give the feed as bytes, newest first, and what is in it."""
        if more:
            self._add(source, self._now_us())
        kept = self._kept[source]
        items = "".join(map(_item, reversed(kept)))
        encoding = _ENCODINGS[source]
        head = f'<?xml version="1.0" encoding="{encoding}"?>\n<rss version="2.0"><channel><title>{source}</title>'
        return f"{head}{items}</channel></rss>".encode(encoding), kept[:]

    def _add(self, source: str, time_us: int) -> None:
        self._made += 1
        what, does = (self._random.choice(words) for words in _WORDS[source])
        link = None if self._made % 7 == 0 else f"https://news.invalid/{source}/{self._made}?a=1&b=2"
        guid = None if self._made % 3 == 0 or link is None else f"{source}-{self._made}"
        one = Headline(time_us - time_us % 1_000_000, f"{what} {does} ({self._made})", link, guid)
        self._kept[source] = [*self._kept[source], one][-_HEADLINES_MAX:]


def _item(one: Headline) -> str:
    date = format_datetime(datetime.fromtimestamp(one.time_us // 1_000_000, UTC))
    link = "" if one.link is None else f"<link>{escape(one.link)}</link>"
    guid = "" if one.guid is None else f"<guid>{one.guid}</guid>"
    return f"<item><title>{escape(one.title)}</title>{link}{guid}<pubDate>{date}</pubDate></item>"
