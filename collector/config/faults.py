"""Turns what pydantic found into faults that a person can act on: the key as written, the value, what would be right.

A secret's value is never shown, whatever the message of the check that refused it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from collector.config.renames import UNITS_BY_ENDING
from collector.config.shape import Path, Shape, is_secret
from collector.durations import DURATION_EXAMPLES
from collector.errors import Fault

# Longer values are cut where a fault shows them.
_VALUE_MAX_CHARACTERS = 60

_TYPE_PROBLEMS = {
    "bool_parsing": ("true or false", "write true or false"),
    "bool_type": ("true or false", "write true or false"),
    "int_parsing": ("a whole number", "write digits, such as 5"),
    "int_type": ("a whole number", "write digits, such as 5"),
    "int_from_float": ("a whole number", "write digits, such as 5"),
    "float_parsing": ("a number", "write a number, such as 0.5"),
    "float_type": ("a number", "write a number, such as 0.5"),
    "string_type": ("a text", 'write it in quotes: "value"'),
    "list_type": ("a list", 'write a list: ["one", "two"]'),
    "tuple_type": ("a list", 'write a list: ["one", "two"]'),
    "set_type": ("a list", 'write a list: ["one", "two"]'),
    "dict_type": ("a table", "write [section] and the settings below it"),
    "model_type": ("a table", "write [section] and the settings below it"),
    "model_attributes_type": ("a table", "write [section] and the settings below it"),
    "path_type": ("a path", 'write it in quotes: "/some/folder"'),
}
_BOUND_PROBLEMS = {
    "greater_than": ("is too small", "more than {gt}"),
    "greater_than_equal": ("is too small", "{ge} or more"),
    "less_than": ("is too large", "less than {lt}"),
    "less_than_equal": ("is too large", "{le} or less"),
}


def explain(error: ValidationError, shape: Shape, origins: Mapping[Path, str], file: str) -> list[Fault]:
    """Return a fault for each thing found; `origins` tells what set each key, and `file` is the file among them."""
    faults = []
    for one in error.errors(include_url=False):
        path, problem, remedy = _explain(one, shape)
        faults.append(Fault(_named(path, origins, file), problem, remedy))
    return faults


def _named(path: Path, origins: Mapping[Path, str], file: str) -> str:
    """Return the name that the user knows `path` by: the variable or secret that set it, else the dotted key."""
    dotted = ".".join(path)
    for length in range(len(path), 0, -1):
        if origin := origins.get(path[:length]):
            return dotted if origin == file else origin
    below = [origin for keys, origin in origins.items() if keys[: len(path)] == path]
    return below[0] if below and file not in below else dotted


def _explain(error: ErrorDetails, shape: Shape) -> tuple[Path, str, str]:
    path = _path(error["loc"], shape)
    problem, remedy = _text(error, path, shape)
    # A check over a whole section tells the key at the beginning of its text.
    if error["type"] == "value_error" and (found := re.match(r"(\w+): ", problem)):
        inner = (*path, found[1])
        if shape.at(inner) is not None:
            path, problem = inner, problem[found.end() :]
    if is_secret(shape.at(path)):
        problem = _without(problem, error["input"])
        remedy = _without(remedy, error["input"])
    return path, problem, remedy


def _path(loc: tuple[int | str, ...], shape: Shape) -> Path:
    """Leave out what is no key: positions in lists and the names of a union's branches."""
    path: Path = ()
    for part in loc:
        here = (*path, str(part))
        if isinstance(part, str) and (shape.at(here) is not None or part == loc[-1]):
            path = here
    return path


def _text(error: ErrorDetails, path: Path, shape: Shape) -> tuple[str, str]:
    kind, facts = error["type"], error.get("ctx", {})
    value = "the value" if is_secret(shape.at(path)) else _shown(error["input"])
    if kind == "extra_forbidden":
        return "is not a setting", _alike(path, shape)
    if kind == "missing":
        return "is missing", "it has no default"
    if kind in _TYPE_PROBLEMS:
        what, remedy = _TYPE_PROBLEMS[kind]
        if path and path[-1].endswith(tuple(UNITS_BY_ENDING)):
            remedy = f"write a number, or a length of time such as {DURATION_EXAMPLES}"
        return f"{value} is not {what}", remedy
    if kind in _BOUND_PROBLEMS:
        problem, remedy = _BOUND_PROBLEMS[kind]
        return f"{value} {problem}", remedy.format(**facts)
    if kind in ("literal_error", "enum"):
        return f"{value} is not known", f"write {facts['expected']}"
    if kind == "value_error":
        problem, _, remedy = str(facts.get("error", error["msg"])).partition("; ")
        return problem, remedy
    return f"{value}: {error['msg'][:1].lower()}{error['msg'][1:]}", ""


def _alike(path: Path, shape: Shape) -> str:
    known = shape.keys(path[:-1])
    if close := get_close_matches(path[-1], known, n=1):
        return f"did you mean {'.'.join((*path[:-1], close[0]))}?"
    if homes := shape.homes(path[-1]):
        return f"did you mean {homes[0]}.{path[-1]}?"
    return f"known here: {', '.join(known)}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= _VALUE_MAX_CHARACTERS else f"{text[:_VALUE_MAX_CHARACTERS]}.."


def _without(text: str, secret: Any) -> str:
    plain = str(secret)
    return text.replace(plain, "***") if plain else text
