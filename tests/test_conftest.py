"""What the suite does to the interpreter that runs it."""

from __future__ import annotations

import ast
import gc
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
