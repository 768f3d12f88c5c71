"""What the documentation promises to analysts, tried on the data of a demo."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import matplotlib as mpl
import pytest

from collector.data import Market
from collector.data.source import opened
from tests.databases import TIMESCALEDB, installation_for, open_folder

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "notebooks" / "market.ipynb"
DEMO_SECONDS = 15

# Questions that a short demo may have no answer to: nothing in common, nothing just now, nothing missed.
MAY_BE_EMPTY = {"3", "16", "17"}


@pytest.fixture(scope="module")
def demo() -> Iterator[Path]:
    """The folder of a demo that has ended."""
    installation_for(TIMESCALEDB)
    folder = open_folder() / "demo"
    command = [sys.executable, "-m", "collector.cli", "demo", "--data-dir", str(folder), "--rate", "40"]
    environ = {name: value for name, value in os.environ.items() if "COLLECTOR_" not in name or "__" not in name}
    try:
        # Whether the tables equal what was sent is for other tests; on a busy machine the demo may be too late to tell.
        demo = subprocess.run(
            [*command, "--duration", str(DEMO_SECONDS)], capture_output=True, text=True, check=False, env=environ
        )
        assert (folder / "data").is_dir(), demo.stdout + demo.stderr
        yield folder
    finally:
        shutil.rmtree(folder.parent)


def questions() -> list[tuple[str, str, str]]:
    """Number, SQL and answer of each question of the cookbook."""
    block = runpy.run_path(str(ROOT / "scripts" / "renew_docs.py"))["BLOCK"]
    found = []
    for part in re.split(r"^## ", (DOCS / "cookbook.md").read_text("utf-8"), flags=re.MULTILINE)[1:]:
        found += [(part.partition(".")[0], match["sql"], match["answer"] or "") for match in block.finditer(part)]
    return found


async def test_every_question_of_the_cookbook_is_answered_with_the_columns_shown(demo: Path) -> None:
    asked = questions()
    assert [number for number, *_ in asked] == [str(number) for number in range(1, 21)]
    made = runpy.run_path(str(ROOT / "scripts" / "renew_docs.py"))
    async with opened(demo) as dsn, made["reading"](dsn) as connection:
        assert urlsplit(dsn).username == "analyst"
        for number, sql, answer in asked:
            statement = await connection.prepare(sql)
            rows = await statement.fetch()
            names = [one.name for one in statement.get_attributes()]
            assert names == [name.strip() for name in answer.partition("\n")[0].split("|")], number
            assert rows or number in MAY_BE_EMPTY, f"question {number} has no answer"


async def test_answers_are_written_after_their_questions(demo: Path) -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "renew_docs.py"))
    page = (
        "a\n\n```sql\nselect 1 as n, 'x' as t;\n```\n\nb\n\n```sql\nselect 2.50 as m;\n```\n\n```text\nold\n```\n\nc\n"
    )
    async with opened(demo) as dsn, made["reading"](dsn) as connection:
        once = await made["answered"](connection, page)
        assert await made["answered"](connection, once) == once
    assert once == (
        "a\n\n```sql\nselect 1 as n, 'x' as t;\n```\n\n```text\nn | t\n--+--\n1 | x\n```\n\nb\n\n"
        "```sql\nselect 2.50 as m;\n```\n\n```text\n   m\n----\n2.50\n```\n\nc\n"
    )


async def test_the_notebook_works_where_a_loop_is_running(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("Agg")
    monkeypatch.setenv("MARKET", str(demo))
    names: dict[str, Any] = {}
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        exec("".join(cell["source"]), names)

    assert len(names["trades"]) > 100
    assert len(names["bars"]) >= 3
    assert len(names["book"]) > 5
    assert not [cell for cell in cells if cell["outputs"]], "outputs are not kept in the repository"


def test_the_python_of_the_page_for_analysts_works(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.parent)
    text = (DOCS / "analysts.md").read_text("utf-8")
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(first, names)
    names["market"].close()
    # The part with `await` is for those who have a loop: it becomes a function here.
    plain, _, awaited = second.partition("async with")
    exec(plain, names)
    body = textwrap.indent("async with" + awaited, "    ")
    exec(f"import asyncio\nasync def further():\n{body}\nasyncio.run(further())", names)


def test_every_method_is_named_on_the_page_for_analysts() -> None:
    text = (DOCS / "analysts.md").read_text("utf-8")

    public = [name for name in dir(Market) if not name.startswith("_") and name != "close"]
    assert not [name for name in public if f"`{name}`" not in text]


async def test_every_view_and_function_of_the_page_for_analysts_is_there(demo: Path) -> None:
    text = (DOCS / "analysts.md").read_text("utf-8")
    views = re.findall(r"^\| `(v_\w+|coverage)`", text, re.MULTILINE)
    functions = re.findall(r"^\| `(\w+)\(", text, re.MULTILINE)
    made = runpy.run_path(str(ROOT / "scripts" / "renew_docs.py"))
    async with opened(demo) as dsn, made["reading"](dsn) as connection:
        for view in views:
            assert await connection.fetchval("select to_regclass($1) is not null", view), view
        for function in functions:
            assert await connection.fetchval("select count(*) from pg_proc where proname = $1", function), function
    assert len(views) > 10
    assert len(functions) == 7


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_links_and_pictures_of_the_pages_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
