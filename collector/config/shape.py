"""What kind of value belongs under a key: whether it is there at all, a secret, a list or a table.

Texts from the environment and from files carry no types; this tells which one is meant. It asks the models and, for a
venue's section, the adapter's model; it never looks at values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from collector import venues as adapters
from collector.config.models import Config, VenueConfig

Path = tuple[str, ...]
AdapterOf = Callable[[str], str]


class Shape:
    """The settings as a tree of types. `adapter_of` tells which adapter a venue's section is for."""

    def __init__(self, adapter_of: AdapterOf) -> None:
        self._adapter_of = adapter_of

    def at(self, path: Path) -> Any | None:
        """Return the type of the value under `path`, or None where no such key exists."""
        kind: Any = Config
        for depth, key in enumerate(path):
            kind = _inside(kind, _old_keys(kind).get(key, key))
            if kind is VenueConfig:
                kind = self._settings(path[depth])
            if kind is None:
                return None
        return kind

    def old_keys(self, path: Path) -> Mapping[str, str]:
        """Return today's names of the keys under `path` that had other names in the last release."""
        return _old_keys(self.at(path))

    def keys(self, path: Path) -> tuple[str, ...]:
        """Return the keys that may stand under `path`; none where any may."""
        return tuple(key for one in alternatives(self.at(path)) if _is_model(one) for key in one.model_fields)

    def homes(self, key: str) -> list[str]:
        """Return the sections that have a key of this name."""
        sections = (name for name in Config.model_fields if name != "venues")
        return [section for section in sections if key in self.keys((section,))]

    def _settings(self, venue: str) -> type[BaseModel] | None:
        adapter = self._adapter_of(venue)
        try:
            return adapters.find(adapter).settings
        except (KeyError, adapters.UnusableAdapterError):  # told where the section is validated
            return None


def alternatives(kind: Any) -> list[Any]:
    """Take unions and annotations apart."""
    origin = get_origin(kind)
    if origin is Annotated:
        return alternatives(get_args(kind)[0])
    if origin in (Union, UnionType):
        return [one for part in get_args(kind) for one in alternatives(part)]
    return [kind]


def is_secret(kind: Any) -> bool:
    return any(one in (SecretStr, SecretBytes) for one in alternatives(kind))


def is_list(kind: Any) -> bool:
    found = [one if isinstance(one, type) else get_origin(one) for one in alternatives(kind)]
    return any(one in (list, tuple, set, frozenset, Sequence, AbstractSet) for one in map(_plain, found))


def is_number(kind: Any) -> bool:
    return any(one in (int, float) for one in alternatives(kind))


def is_table(kind: Any) -> bool:
    return any(_is_model(one) or get_origin(one) is dict for one in alternatives(kind))


def _plain(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _old_keys(kind: Any) -> Mapping[str, str]:
    """Return the `old_keys` of the models that a kind of value may be."""
    models = [one for one in alternatives(kind) if _is_model(one)]
    return {old: new for model in models for old, new in getattr(model, "old_keys", {}).items()}


def _inside(kind: Any, key: str) -> Any | None:
    for one in alternatives(kind):
        if _is_model(one) and key in one.model_fields:
            return one.model_fields[key].annotation
        if get_origin(one) is dict:
            return get_args(one)[1]
    return None
