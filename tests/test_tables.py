"""One list of tables: a table more touches the model, this list, the SQL and the encoder."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from collector.model import Records
from collector.store import encode
from collector.store.named import queries
from collector.tables import NAMES, OF_INSTRUMENTS, OF_VENUES, STREAMS, TABLES

PACKAGE = Path(__file__).parents[1] / "collector"
# The list itself, the records, what is assumed of each one's size, and a screen with room for four.
MAY_LIST = {"model.py", "tables.py", "plan/assumptions.py", "demo/demo.py"}


def test_every_table_has_its_record_its_sql_and_its_encoder() -> None:
    statements = queries("write")
    for table in TABLES:
        assert getattr(Records(), table.name) == []
        assert callable(getattr(encode, table.name))
        assert f"insert_{table.name}" in statements or f"upsert_{table.name}" in statements
        assert {"instrument" if table.of_instrument else "venue", *table.own_key} <= set(table.record._fields)


def test_lists_are_parts_of_the_one() -> None:
    assert (*OF_INSTRUMENTS, *OF_VENUES) == NAMES
    assert set(STREAMS) < set(NAMES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_key_is_the_owner_and_the_table_s_own_fields(table: object) -> None:
    from collector.tables import Table

    assert isinstance(table, Table)
    row = table.record(*range(len(table.record._fields)))
    assert table.key(row) == tuple(
        getattr(row, name) for name in ("instrument" if table.of_instrument else "venue", *table.own_key)
    )


def test_nobody_else_lists_tables() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = str(path.relative_to(PACKAGE))
        if place.split("/")[0] in ("venues", "simulator") or place in MAY_LIST:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                named = [one.value for one in node.elts if isinstance(one, ast.Constant) and one.value in NAMES]
                if len(named) > 3:
                    wrong.append(f"{place}:{node.lineno}: {', '.join(map(str, named))}")
    assert wrong == []
