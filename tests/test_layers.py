"""Imports go one way, so that a reader can follow a frame from socket to table in the order of the folders."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "collector"

BASICS = {
    "collector",
    "__version__",
    "backoff",
    "errors",
    "clock",
    "escape",
    "listeners",
    "names",
    "tables",
    "data_dir",
    "durations",
}
FACTS = {"model", "venues", "journal", "normalise", "store", "config"}
MAY_IMPORT = {
    "errors": set[str](),
    "durations": set[str](),
    "backoff": set[str](),
    "clock": set[str](),
    "escape": set[str](),
    "listeners": set[str](),
    "logs": set[str](),
    "names": {"errors"},
    "data_dir": {"errors"},
    "model": {"errors"},
    "tables": {"model"},
    "venues": {"model"},
    "journal": {"model"},
    "normalise": {"model", "venues", "journal"},
    "store": {"model", "venues", "normalise"},
    "config": {"model", "venues", "store"},
    "venues/conformance": {"model", "venues", "journal", "normalise", "config"},
    "attach": {"store", "config"},
    "feed": {"model", "venues", "normalise", "config"},
    "repair": {*FACTS, "feed"},
    # Reads the tables and nothing else: what analysts use knows of no daemon.
    "data": {"model", "store", "config"},
    "proof": {*FACTS, "repair"},
    "audit": {*FACTS, "feed", "repair", "proof"},
    "check": {*FACTS, "feed", "audit"},
    "plan": {*FACTS, "feed", "attach"},
    "supervise": {"feed"},
    "recording": {*FACTS, "feed", "supervise"},
    "status": {*FACTS, "feed", "audit", "recording", "supervise", "logs"},
    "web": {"model", "store", "recording", "supervise", "status", "logs"},
    "daemon": {
        *(*FACTS, "feed", "repair", "audit", "check"),
        *("recording", "supervise", "status", "web", "logs"),
    },
    "demo": {"model", "store", "config", "status", "daemon", "simulator"},
    "cli": {
        *(*FACTS, "feed", "repair", "proof", "audit", "check", "plan", "attach", "data"),
        *("status", "web", "daemon", "demo", "logs", "simulator"),
    },
    # It must not share a mistake with the program that it tests.
    "simulator": set[str](),
}


def layer(module: str) -> str:
    parts = module.split(".")
    if parts[1:3] == ["venues", "conformance"]:
        return "venues/conformance"
    return parts[1] if len(parts) > 1 else parts[0]


def imports(path: Path) -> set[str]:
    return imported(path.read_text(), ("collector", *path.relative_to(PACKAGE).parent.parts))


def imported(source: str, package: tuple[str, ...]) -> set[str]:
    """Return the modules of ours that a source imports, those inside functions and for types included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found.update([f"{module}.{name.name}" for name in node.names] if module == "collector" else [module])
    return {name for name in found if name.split(".")[0] == "collector"}


def own_layer(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    # The kit tries adapters, and stands beside them for whoever looks for it; no venue may import it.
    return "venues/conformance" if parts[:2] == ("venues", "conformance") else parts[0]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_the_layers_below_it(path: Path) -> None:
    own = own_layer(path)
    assert own in MAY_IMPORT, f"{own} is a new layer: give it a place in the order"
    allowed = {own, *MAY_IMPORT[own], *BASICS}

    wrong = {module for module in imports(path) if layer(module) not in allowed}

    assert not wrong, f"{path.relative_to(PACKAGE.parent)} may import from {', '.join(sorted(allowed))}, not {wrong}"


def test_the_simulator_takes_nothing_from_the_program_but_its_errors() -> None:
    used = {layer(module) for path in FILES if own_layer(path) == "simulator" for module in imports(path)}

    assert used <= {"simulator", "errors", "collector"}


def test_venues_do_not_know_each_other() -> None:
    shared = {"kit", *(path.stem for path in (PACKAGE / "venues").glob("*.py"))}
    for path in (PACKAGE / "venues").rglob("*.py"):
        inside = path.relative_to(PACKAGE / "venues").parts
        if len(inside) > 1 and inside[0] not in {"kit", "conformance"}:
            others = {module.split(".")[2] for module in imports(path) if module.startswith("collector.venues.")}
            assert others <= {inside[0], *shared}, path


@pytest.mark.parametrize("name", sorted(MAY_IMPORT.keys() - {"venues", "simulator", "venues/conformance"}))
def test_no_venue_is_known_outside_its_folder(name: str) -> None:
    venues = {
        f"collector.venues.{path.name}"
        for path in (PACKAGE / "venues").iterdir()
        if path.is_dir() and path.name != "kit"
    }
    for path in FILES:
        if own_layer(path) == name:
            assert not venues & set(imports(path)), path


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports for types and inside functions count: two files that name each other know each other."""
    files = {".".join(("collector", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph = {name: named(path.read_text(), files.keys()) - {name} for name, path in files.items()}

    assert circle(graph) == []


def named(source: str, files: Collection[str]) -> set[str]:
    """Return the files of ours that a source imports from."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{name.name}" for name in node.names} & set(files)
            modules |= inner or {node.module}
    return modules & set(files)


def circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_walk_sees_imports_of_every_form() -> None:
    source = (
        "import collector.store.writer\nfrom collector import feed\nfrom . import x\nfrom ..journal import reader\n"
        "def f():\n    from collector.cli import main\nimport json\nfrom collectors import x"
    )

    assert imported(source, ("collector", "store")) == {
        "collector.store.writer",
        "collector.feed",
        "collector.store",
        "collector.journal",
        "collector.cli",
    }
