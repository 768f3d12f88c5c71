"""The feeds of headlines: what becomes a row, what goes to quarantine, and when they are asked for."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.errors import VenueError
from collector.model import Records
from collector.venues.events import Acknowledged, SubscriptionState
from collector.venues.finam import FinamAdapter, FinamParser, FinamSettings
from collector.venues.finam.news import NewsPolling, plan
from collector.venues.header import SessionHeader
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.headers import session_header

RECEIVED_NS = 1_795_164_200_000_000_000
DATE, TIME_US = "Fri, 20 Nov 2026 11:43:04 +0300", 1_795_164_184_000_000
ITEM = f"<item><title>A</title><link>https://a/1</link><guid>1</guid><pubDate>{DATE}</pubDate></item>"


def feed(*items: str, encoding: str = "utf-8") -> bytes:
    text = "".join(items)
    head = f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0"><channel>'
    return f"{head}{text}</channel></rss>".encode(encoding)


def read(body: bytes, parser: FinamParser | None = None, source: str = "ru") -> tuple[Records, list[Any]]:
    out = Records()
    parser = parser or FinamParser.begin(session_header({"venue": "finam", "symbols": [], "news": True}))
    events = list(parser.rest(f"news:{source}", {}, body, RECEIVED_NS, out))
    assert out.items == out.rows + sum(bad.items for bad in out.quarantine)
    return out, events


def test_item_becomes_a_row_whatever_the_encoding() -> None:
    item = ITEM.replace("A</title>", " Рубль &amp;\n растёт</title>")
    for encoding in ("utf-8", "windows-1251"):
        [row] = read(feed(item, encoding=encoding))[0].news
        assert row[:2] + row[3:] == (
            "finam",
            TIME_US,
            "ru",
            "Рубль & растёт",
            "https://a/1",
            RECEIVED_NS // 1000,
        )


def test_first_answer_acknowledges_the_feed_and_an_empty_one_is_an_answer() -> None:
    parser = FinamParser.begin(session_header({"venue": "finam", "symbols": [], "news": True}))
    out, events = read(feed(), parser)
    assert (out.items, events) == (0, [Acknowledged(None, "news:ru", frozenset({"ru"}))])
    assert read(feed(ITEM), parser)[1] == []


def test_key_is_that_of_the_guid_else_the_link_else_title_and_date_and_of_the_feed() -> None:
    guid, link, both = "<guid>1</guid>", "<link>https://a/1</link>", "<title>A</title>"

    def key(item: str, source: str = "ru") -> int:
        return read(feed(item), source=source)[0].news[0].news_key

    assert key(ITEM) == key(ITEM.replace(both, "<title>edited</title>")) != key(ITEM, "us")
    assert key(ITEM) != key(ITEM.replace(guid, "")) == key(ITEM.replace(guid, "").replace(both, "<title>B</title>"))
    bare = ITEM.replace(guid, "").replace(link, "")
    assert key(bare) not in (key(ITEM), key(bare.replace(both, "<title>B</title>")))
    assert read(feed(bare))[0].news[0].link is None


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("Fri, 20 Nov 2026 08:43:04 GMT", TIME_US),
        ("20 Nov 2026 08:43:04 -0000", TIME_US),
        ("Fri, 20 Nov 2026 08:43:04", None),
        ("Fri, 31 Feb 2026 08:43:04 GMT", None),
        ("Fri, 20 Nov 1999 08:43:04 GMT", None),
        ("Fri, 20 Nov 9999 23:59:59 -2359", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_date_is_the_venues_or_the_item_is_quarantined(told: str, meant: int | None) -> None:
    out, _ = read(feed(ITEM, ITEM.replace(DATE, told)))
    assert [row.time_us for row in out.news[1:]] == ([] if meant is None else [meant])
    assert [(bad.stream, bad.items) for bad in out.quarantine] == ([("news", 1)] if meant is None else [])


def test_item_without_a_title_is_quarantined_with_the_whole_answer_and_the_rest_is_kept() -> None:
    body = feed(ITEM.replace("A</title>", "</title>"), ITEM)
    out, _ = read(body)
    assert len(out.news) == 1
    assert "title: missing" in out.quarantine[0].error
    assert out.quarantine[0].payload.endswith(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"<rss/>",
        b"{}",
        feed(ITEM)[:-9],
        feed(ITEM).replace(b"utf-8", b"klingon"),
        feed(ITEM).replace(b"utf-8", b"gbk"),
        b'<!DOCTYPE a [<!ENTITY b "boom">]><rss><channel><item><title>&b;</title></item></channel></rss>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><rss><channel>&b;</channel></rss>',
    ],
)
def test_what_is_no_feed_is_quarantined_whole(body: bytes) -> None:
    out, events = read(body)
    assert (out.items, out.news, events) == (1, [], [])
    assert out.quarantine[0].stream == "news"


@given(
    st.binary(max_size=300)
    | st.text(max_size=80).map(
        lambda text: feed(ITEM.replace(DATE, text)) if text.isprintable() and text.isascii() else b""
    )
)
@settings(max_examples=200, deadline=None)
def test_nothing_makes_the_parser_raise(body: bytes) -> None:
    read(body)


def polling(**changed: Any) -> NewsPolling:
    chosen = FinamSettings(secret="s", symbols=("SBER@MISX",), streams=("news",), **changed)
    [line] = plan("finam", chosen, SessionHeader("finam", "finam"))
    parser = FinamAdapter().parser(line.header)
    made = FinamAdapter().begin("finam", chosen).polling(line, parser, Random(1))
    assert isinstance(made, NewsPolling)
    return made


def test_each_feed_is_asked_in_its_turn_without_a_token_and_journalled() -> None:
    one = polling()
    first, second, wait = (one.next("news", 10.0, 0) for _ in range(3))
    assert isinstance(first, RestCall)
    assert isinstance(second, RestCall)
    assert {first.channel, second.channel} == {"news:ru", "news:us"}
    assert first.url == "https://www.finam.ru/analysis/conews/rsspoint/"
    assert first.record
    assert not first.headers
    assert isinstance(wait, float)
    assert 299 < wait <= 330


def test_feed_that_fails_waits_for_its_turn_or_as_long_as_asked_and_holds_no_other_back() -> None:
    one = polling()
    first, second = one.next("news", 0.0, 0), one.next("news", 0.0, 0)
    assert isinstance(first, RestCall)
    assert isinstance(second, RestCall)
    one.failed("news", first, VenueError("finam", "busy", code="429", retry_after=4000.0), 0.0)
    one.answered("news", second, RestAnswer(200, {}, b"", 0), (), 0.0)
    assert one.proved
    assert [(status.state, status.reason) for status in one.statuses()] == [
        (SubscriptionState.REQUESTED, "busy"),
        (SubscriptionState.FLOWING, ""),
    ]
    again = one.next("news", 400.0, 0)
    assert isinstance(again, RestCall)
    assert again.channel == second.channel


def test_news_are_recorded_only_when_asked_for_and_need_a_feed() -> None:
    usual = FinamSettings(secret="s", symbols=("SBER@MISX",))
    assert plan("finam", usual, SessionHeader("finam", "finam")) == ()
    with pytest.raises(ValidationError, match="no feed named"):
        polling(news={})
    with pytest.raises(ValidationError, match="is not an address"):
        polling(news={"ru": "finam.ru"})
