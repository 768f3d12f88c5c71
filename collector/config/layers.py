"""The places that settings come from, each read into a `Layer`: a tree of values, and where each of them was found.

In the order of precedence: environment variables, systemd credentials, docker secrets, the file. A place that cannot
be read or understood adds a fault and gives what it can; nothing here stops at the first mistake.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from collector.config.models import Config
from collector.config.shape import Path as Keys
from collector.config.shape import Shape, is_list, is_secret, is_table
from collector.errors import Fault

VARIABLE_PREFIX = "COLLECTOR_"
# Files in a folder of secrets that are for us. systemd puts the first prefix before the names of a credential folder's
# files.
SECRET_FILE_PREFIXES = ("collector_", "collector.")
SECRET_FILE_SUFFIX = "_file"  # noqa: S105
# A larger file is no secret, but named by mistake.
SECRET_MAX_BYTES = 64 * 1024

# Variables with our prefix that are no settings.
_OTHER_VARIABLES = re.compile(
    r"COLLECTOR_(CONFIG|CAPTURES|MEMORY|REQUIRE_TIMESCALEDB|SERVER_DIR)"
    r"|COLLECTOR_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)"
)

_ADDRESS = re.compile(r"[a-z]+://(?P<login>[^/?#@]*@)?[^@?]*(?P<options>\?[^@]*)?")

Tree = dict[str, Any]


class Layer(PydanticBaseSettingsSource):
    """Settings from one place. `origins` names, for each key found, what the user wrote it as.

    `files` names, for each secret, the file that holds it.
    """

    def __init__(self) -> None:
        super().__init__(Config)
        self.tree: Tree = {}
        self.origins: dict[Keys, str] = {}
        self.files: dict[Keys, Path] = {}

    def __call__(self) -> Tree:
        return self.tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self.tree.get(field_name), field_name, False

    def put(self, keys: Keys, value: Any, origin: str) -> None:
        """Place a value; a table that is already there is added to."""
        table = self.tree
        for key in keys[:-1]:
            inner = table.setdefault(key, {})
            if not isinstance(inner, dict):
                return  # the shorter key is wrong already and gets the fault
            table = inner
        table[keys[-1]] = value
        self.origins[keys] = origin

    def rename(self, old: Keys, new: Keys) -> str:
        """Let a key and what is below it be known by a new name; return where it was found."""
        inner = [keys for keys in self.origins if keys[: len(old)] == old]
        outer = [old[:length] for length in range(len(old), -1, -1) if old[:length] in self.origins]
        origin = self.origins[(inner or outer)[0]] if inner or outer else ""
        for keys in inner:
            self.origins[new + keys[len(old) :]] = self.origins.pop(keys)
        return origin


def read_file(path: Path, name: str) -> tuple[Tree, list[Fault]]:
    """Read a TOML file; `name` is what the user called it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except OSError as error:
        return {}, [Fault(name, f"cannot be read: {error.strerror}", "name a readable TOML file")]
    except UnicodeDecodeError:
        return {}, [Fault(name, "is not UTF-8 text", "save it as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        return {}, [Fault(name, f"is not TOML: {error}", 'texts need quotes: key = "value"')]


def file_layer(tree: Tree, path: Path, shape: Shape, faults: list[Fault]) -> Layer:
    """Take a file's values; `<key>_file` beside a secret key names a file, relative to this one, that holds it."""
    layer = Layer()

    def take(table: Tree, keys: Keys) -> None:
        for key, value in table.items():
            here = (*keys, key)
            if isinstance(value, dict):
                if not value:
                    layer.put(here, {}, str(path))
                take(value, here)
            elif secret := _secret_behind(here, shape):
                if secret[-1] in table:
                    faults.append(Fault(".".join(here), f"is set together with {secret[-1]}", "remove one of the two"))
                else:
                    _take_secret(layer, secret, path.parent / str(value), ".".join(here), faults)
            else:
                layer.put(here, value, str(path))
                if is_secret(shape.at(here)) and _holds_secret(value):
                    layer.files[here] = path

    take(tree, ())
    return layer


def environment_layer(environ: Mapping[str, str], below: Tree, shape: Shape, faults: list[Fault]) -> Layer:
    """Take `COLLECTOR_SECTION__KEY` variables; empty ones count as unset, for compose files pass those on.

    Those that our own tools read and those that Kubernetes makes for a service called "collector" are left alone.
    """
    layer = Layer()
    for name, text in sorted(environ.items()):
        if not name.startswith(VARIABLE_PREFIX) or not text or ("__" not in name and _OTHER_VARIABLES.fullmatch(name)):
            continue
        parts = name.removeprefix(VARIABLE_PREFIX).split("__")
        keys = _as_written(parts, below, shape)
        if len(keys) == 1 and shape.at(keys) is None:
            meant = _meant(keys[0], shape)
            remedy = f"did you mean {meant}?" if meant else "write COLLECTOR_SECTION__KEY"
            faults.append(Fault(name, "is not a setting", remedy))
            continue
        if not all(keys):
            faults.append(Fault(name, "has an empty part", "write COLLECTOR_SECTION__KEY"))
        elif secret := _secret_behind(keys, shape):
            if f"{name.removesuffix('_FILE')}" in environ and environ[name.removesuffix("_FILE")]:
                faults.append(
                    Fault(name, f"is set together with {name.removesuffix('_FILE')}", "remove one of the two")
                )
            else:
                _take_secret(layer, secret, Path(text), name, faults)
        else:
            _take_text(layer, keys, text, name, shape, faults)
    return layer


def _meant(word: str, shape: Shape) -> str | None:
    """Find what a variable without `__` was meant for: a section's key, or a key with a slip."""
    for section in shape.keys(()):
        key = word.removeprefix(f"{section}_")
        if key != word and key.removesuffix(SECRET_FILE_SUFFIX) in shape.keys((section,)):
            return f"{VARIABLE_PREFIX}{section}__{key}".upper()
    close = get_close_matches(word, shape.keys(()), n=1, cutoff=0.8)
    return f"{VARIABLE_PREFIX}{close[0]}".upper() if close else None


def folder_layer(folder: Path, below: Tree, shape: Shape, faults: list[Fault]) -> Layer:
    """Take files named like `collector_database__dsn` or `collector.database.dsn`; each file's text is the value."""
    layer = Layer()
    try:
        found = sorted(one for one in folder.iterdir() if one.name.startswith(SECRET_FILE_PREFIXES))
    except (FileNotFoundError, NotADirectoryError):
        return layer
    except OSError as error:
        faults.append(Fault(str(folder), f"cannot be read: {error.strerror}", "let the collector's user read it"))
        return layer
    for one in found:
        keys = _as_written(one.name[len(SECRET_FILE_PREFIXES[0]) :].replace(".", "__").split("__"), below, shape)
        text = _secret_text(one, str(one), faults)
        if text is not None:
            _take_text(layer, keys, text, str(one), shape, faults)
    return layer


def _as_written(parts: list[str], below: Tree, shape: Shape) -> Keys:
    """Find the keys that a variable's name means: `HIT_BTC` is `[venues.hit-btc]` where there is one."""
    keys: list[str] = []
    table: Any = below
    for part in parts:
        known = (*shape.keys(tuple(keys)), *(table if isinstance(table, dict) else ()))
        plain = part.lower().replace("-", "_")
        key = next((one for one in known if one.lower().replace("-", "_") == plain), part.lower())
        table = table.get(key) if isinstance(table, dict) else None
        keys.append(key)
    return tuple(keys)


def _secret_behind(keys: Keys, shape: Shape) -> Keys | None:
    if not keys[-1].endswith(SECRET_FILE_SUFFIX) or shape.at(keys) is not None:
        return None
    secret = (*keys[:-1], keys[-1].removesuffix(SECRET_FILE_SUFFIX))
    return secret if is_secret(shape.at(secret)) else None


def _take_secret(layer: Layer, keys: Keys, path: Path, name: str, faults: list[Fault]) -> None:
    text = _secret_text(path, name, faults)
    if text is not None:
        layer.put(keys, text, name)
        if _holds_secret(text):
            layer.files[keys] = path


def _holds_secret(value: Any) -> bool:
    """Whether a value of a secret setting holds one: an address may have no password in it."""
    address = _ADDRESS.fullmatch(str(value))
    return address is None or ":" in (address["login"] or "") or "password=" in (address["options"] or "")


def _secret_text(path: Path, name: str, faults: list[Fault]) -> str | None:
    try:
        with path.open("rb") as file:
            held = file.read(SECRET_MAX_BYTES + 1)
        text = held.decode().rstrip("\r\n")
    except OSError as error:
        remedy = "name a file that the collector's user can read"
        faults.append(Fault(name, f"{str(path)!r} cannot be read: {error.strerror}", remedy, may_pass=True))
    except UnicodeDecodeError:
        faults.append(Fault(name, f"{str(path)!r} is not UTF-8 text", "put the secret's text into it"))
    else:
        if text and len(held) <= SECRET_MAX_BYTES:
            return text
        faults.append(
            Fault(name, f"{str(path)!r} is {'too large' if text else 'empty'}", "put the secret's text into it")
        )
    return None


def _take_text(layer: Layer, keys: Keys, text: str, name: str, shape: Shape, faults: list[Fault]) -> None:
    kind = shape.at(keys)
    if is_secret(kind) or not (is_list(kind) or is_table(kind)):
        layer.put(keys, text, name)
        return
    if not is_table(kind) and not text.lstrip().startswith("["):
        layer.put(keys, [one.strip() for one in text.split(",") if one.strip()], name)
        return
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        faults.append(Fault(name, f"is not JSON: {error.msg} at character {error.pos}", _JSON_REMEDY[is_table(kind)]))
    else:
        if isinstance(value, dict):
            for key, inner in value.items():
                layer.put((*keys, key), inner, name)
        else:
            layer.put(keys, value, name)


_JSON_REMEDY = {False: 'write a,b or ["a", "b"]', True: 'write {"key": "value"}'}
