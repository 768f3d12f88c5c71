"""What may be shown of a text that somebody else has written."""

from __future__ import annotations

import json

import pytest

from collector.escape import escaped, escaped_json, escaped_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("(USD+EUR)CB@#RCBR [red]x[/]", "(USD+EUR)CB@#RCBR [red]x[/]"),
        ("Золото 黄金 e\u0301 \u00a0", "Золото 黄金 e\u0301 \u00a0"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x00\x7f\x9b31m", "\\x00\\x7f\\x9b31m"),
        ("\u202egpj.exe\u2066\u200b\u2028", "\\u202egpj.exe\\u2066\\u200b\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_what_is_no_sign_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_lines_after_the_first_are_set_in() -> None:
    assert escaped_lines("it failed:\nerror: \x1b[31mnothing") == "it failed:\n  error: \\x1b[31mnothing"


@pytest.mark.parametrize("text", ["\x1b\x7f\x9b\u202e\U000e0041\n\t", "Золото", 'a "quoted" \\ path'])
def test_json_says_the_same_and_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    document = escaped_json(json.dumps({"text": text}, ensure_ascii=False, indent=2))
    assert json.loads(document) == {"text": text}
    assert not any(ord(one) < 0x20 and one != "\n" for one in document)
    assert not set(document) & {"\x7f", "\x9b", "\u202e", "\U000e0041"}
