"""The configuration: one TOML file, overridden by secrets and by the environment, checked as a whole.

    config = load(path, os.environ)

Every fault is found before anything is started, and all of them are told at once. A venue's section is checked by the
venue's own adapter. Nothing here opens a connection or looks at the data folder; `collector check` does.
"""

from __future__ import annotations

__all__ = ["FILE_NAME", "Config", "VenueConfig", "find_file", "load", "secret_values"]

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from platformdirs import user_config_path
from pydantic import BaseModel, SecretStr, ValidationError

from collector.config import faults as texts
from collector.config.layers import (
    Layer,
    Tree,
    environment_layer,
    file_layer,
    folder_layer,
    read_file,
)
from collector.config.models import Config, VenueConfig
from collector.config.renames import RenamedKey, settle
from collector.config.shape import Path as Keys
from collector.config.shape import Shape
from collector.errors import ConfigError

FILE_NAME = "collector.toml"
DOCKER_SECRETS = Path("/run/secrets")
SYSTEM_FOLDER = Path("/etc/collector")


def find_file(environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: `$COLLECTOR_CONFIG`, else the first there is: here, the user's, the system's."""
    if named := environ.get("COLLECTOR_CONFIG"):
        return Path(named)
    places = (Path(), user_config_path("collector"), SYSTEM_FOLDER)
    return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)


def load(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, *, docker_secrets: Path = DOCKER_SECRETS
) -> Config:
    """Read the configuration from `path` (None: see `find_file`), secrets and environment.

    Raises:
        ConfigError: with every fault there is.

    """
    path = path or find_file(environ)
    tree, faults = read_file(path, str(path)) if path else ({}, [])
    shape = Shape(lambda venue: _adapter(venue, tree, layers))
    layers: list[Layer] = []  # the lowest first
    if path:
        layers.append(file_layer(tree, path, shape, faults))
    below = dict(tree)
    # Variables before secrets: which adapter a section has may be told there, and secrets are read by its model.
    variables = environment_layer(environ, below, Shape(lambda venue: _adapter_named(venue, tree, environ)), faults)
    layers.append(variables)
    secrets = [folder_layer(docker_secrets, below, shape, faults)]
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        secrets.append(folder_layer(Path(credentials), below, shape, faults))
    layers[-1:] = [*secrets, variables]
    renamed: dict[Keys, RenamedKey] = {}
    for layer in layers:
        renamed |= settle(layer, shape, faults)

    config = None
    try:
        config = Config(_build_sources=((*reversed(layers), _Basis(environ)), {}))
    except ValidationError as error:
        faults.extend(texts.explain(error, shape, _as_written(_origins(layers), renamed, str(path)), str(path)))
    if config is not None:
        faults.extend(config.storage.faults(config.repair))
    if config is None or faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    config._source = {".".join(keys): origin for keys, origin in _origins(layers).items()}  # noqa: SLF001  ours
    config._origin = _told(path, config.source)  # noqa: SLF001
    config._secret_files = _secret_files(layers)  # noqa: SLF001
    config._renamed = tuple(map(str, renamed.values()))  # noqa: SLF001
    return config


def secret_values(config: BaseModel) -> frozenset[str]:
    """Return every secret in the configuration, for those who have to keep them out of what they print."""
    return frozenset(_secrets(config))


class _Basis(Layer):
    """Defaults that depend on where we run."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        if folder := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
            self.tree["data_dir"] = folder


def _origins(layers: list[Layer]) -> dict[Keys, str]:
    """Tell what each key was set by in the end."""
    origins: dict[Keys, str] = {}
    for layer in layers:
        for keys, origin in layer.origins.items():
            for covered in [one for one in origins if one[: len(keys)] == keys]:
                del origins[covered]
            origins[keys] = origin
    return origins


def _as_written(origins: dict[Keys, str], renamed: Mapping[Keys, RenamedKey], file: str) -> dict[Keys, str]:
    """Name keys that the file gives by their old names as they stand there, so that a fault can be found in it."""
    old = {keys: key.old for keys, key in renamed.items() if key.origin == file and origins.get(keys) == file}
    return {**origins, **old}


def _secret_files(layers: list[Layer]) -> dict[Path, tuple[str, ...]]:
    """Return the files that hold secrets, also those that another place overrules: they lie there all the same."""
    held: dict[Path, tuple[str, ...]] = {}
    for layer in layers:
        for keys, path in layer.files.items():
            held[path.absolute()] = (*held.get(path.absolute(), ()), ".".join(keys))
    return held


def _adapter(venue: str, file: Tree, layers: list[Layer]) -> str:
    for tree in (*(layer.tree for layer in reversed(layers)), file):
        adapter = _under(tree, "venues", venue, "adapter")
        if isinstance(adapter, str):
            return adapter
    return venue


def _adapter_named(venue: str, file: Tree, environ: Mapping[str, str]) -> str:
    name = f"COLLECTOR_VENUES__{venue.upper().replace('-', '_')}__ADAPTER"
    return environ.get(name) or _adapter(venue, file, [])


def _under(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _told(path: Path | None, source: Mapping[str, str]) -> str:
    variables = sum(origin.startswith("COLLECTOR_") for origin in source.values())
    secrets = sum(origin.startswith("/") and origin != str(path) for origin in source.values())
    parts = [str(path) if path else "built-in defaults"]
    parts += [f"{variables} environment variable{'s' * (variables > 1)}"] if variables else []
    parts += [f"{secrets} secret file{'s' * (secrets > 1)}"] if secrets else []
    return ", ".join(parts)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        yield secret
        # A driver may quote the password alone, as it stands there or decoded.
        if password := re.match(r"[a-z]+://[^:@/]*:(.+)@", secret):
            yield from {password[1], unquote(password[1])}
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _secrets(one)
