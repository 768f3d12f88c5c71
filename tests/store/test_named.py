"""Named SQL: every statement has a name and says what it does."""

from __future__ import annotations

from importlib import resources

import pytest

from collector.store.named import NamedSqlError, parse, queries

TWO = """-- What this file is about.

-- name: first
-- The first one,
-- in two lines.
select 1
  -- a remark inside stays
  from x;

-- name: second
-- The second one.
do $$ begin perform 1; end $$;
"""


def test_a_file_is_split_into_its_statements() -> None:
    first, second = parse(TWO, "two.sql")

    assert (first.name, first.description) == ("first", "The first one, in two lines.")
    assert first.sql == "-- first\nselect 1\n  -- a remark inside stays\n  from x"
    assert second.sql == "-- second\ndo $$ begin perform 1; end $$"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select 1;\n-- name: x\n-- Said.\nselect 1;", "before the first"),
        ("-- name: x\nselect 1;", "a comment that describes it"),
        ("-- name: x\n-- Said.\n", "and SQL"),
        ("-- name: Not A Name\n-- Said.\nselect 1;", "'Not A Name'"),
        ("-- name:\n-- Said.\nselect 1;", "''"),
        ("-- name: x\n-- Said.\nselect 1;\n-- name: x\n-- Said.\nselect 2;", "'x' is there twice"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(NamedSqlError, match=complaint):
        parse(text, "odd.sql")


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(NamedSqlError, match=r"bootstrap.sql has no statement named 'nothing'; it has .*create_owner"):
        queries("bootstrap", "collector.store.embedded")["nothing"]


@pytest.mark.parametrize("package", ["collector.store.sql", "collector.store.embedded"])
def test_every_file_of_the_package_can_be_read(package: str) -> None:
    files = [file.name for file in resources.files(package).iterdir() if file.name.endswith(".sql")]
    assert files
    for file in files:
        assert queries(file.removesuffix(".sql"), package)
