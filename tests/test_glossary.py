"""The glossary is in order, explains each word once, and has every word that other pages link to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def words() -> dict[str, str]:
    """Each word with its explanation."""
    parts = re.split(r"^## (.+)$", GLOSSARY.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


def anchor(word: str) -> str:
    return word.lower().replace(" ", "-")


def test_words_are_sorted_and_explained_once() -> None:
    headings = re.findall(r"^## (.+)$", GLOSSARY.read_text("utf-8"), flags=re.MULTILINE)

    assert len(headings) > 70
    assert headings == sorted(set(headings), key=str.casefold)


@pytest.mark.parametrize("word", words())
def test_a_word_is_explained_in_a_few_sentences(word: str) -> None:
    explanation = words()[word]
    assert explanation.endswith(".")
    assert 1 <= len(re.findall(r"\.(?=\s|$)", explanation)) <= 4


def test_every_word_that_a_page_links_to_is_there() -> None:
    known = {anchor(word) for word in words()}
    linked = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\((?:docs/|\.\./)?glossary\.md#([^)]+)\)", page.read_text("utf-8"))
    }

    assert linked
    assert {target for _, target in linked} <= known


def test_the_readme_and_the_architecture_lead_to_it() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "architecture.md"):
        assert "glossary.md)" in page.read_text("utf-8")
