"""What the suite does to the interpreter that runs it."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest


class Failing:
    """Garbage in a circle, whose finalizer fails in a line that a traceback underlines."""

    def __init__(self) -> None:
        self.myself = self

    def __del__(self) -> None:
        int("x" + (lambda: "y")())


def test_sources_are_parsed_whole_while_garbage_is_collected_whose_finalizers_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []

    def show(unraisable: Any) -> None:
        shown.append(traceback.format_exception(None, unraisable.exc_value, unraisable.exc_traceback))

    monkeypatch.setattr(sys, "unraisablehook", show)
    thresholds = gc.get_threshold()
    gc.set_threshold(50, 2, 2)
    try:
        for _ in range(20):
            Failing()
            ast.parse(Path(__file__).read_text())
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()
    assert len(shown) == 20


@pytest.mark.slow
def test_quick_tests_need_no_server_and_are_most_of_all(pytestconfig: pytest.Config) -> None:
    quick, every = (files_with(pytestconfig.rootpath, tests) for tests in ("quick", "not soak and not foreign"))
    assert quick < every
    assert len(quick) > 100
    assert {"tests/venues/fmfw/test_trades.py", "tests/journal/test_reader.py"} <= quick
    assert not {"tests/daemon/test_daemon.py", "tests/store/test_writer.py", "tests/web/test_page.py"} & quick


def files_with(root: Path, tests: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", tests]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    return {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
