"""The sample configuration, made from the models so that it cannot grow old.

`python -m collector.config.sample > collector.example.toml` writes it; a test compares.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from collector import venues
from collector.config.models import UNLIMITED, Config
from collector.config.shape import alternatives, is_secret

_LINE_MAX_CHARACTERS = 118

_HEAD = """\
# The collector's settings. Every key is here with its default, commented out; what is not is a choice to be made.
#
# Found as --config FILE, else $COLLECTOR_CONFIG, ./collector.toml, the user's configuration folder or /etc/collector/.
# Each key can be set by a variable as well, COLLECTOR_SECTION__KEY: COLLECTOR_HTTP__LISTEN, or
# COLLECTOR_VENUES__FMFW__SYMBOLS="BTCUSDT,ETH*". A secret `key` can be in a file: key_file = "/path" here,
# COLLECTOR_SECTION__KEY_FILE, /run/secrets/collector_section__key (docker), credential collector.section.key (systemd).
"""

_CHOICES = {("fmfw", "symbols"): '["BTCUSDT", "ETHUSDT"]'}
_EXAMPLES = {
    "data_dir": '"/var/lib/collector"',
    "dsn": '"postgresql://collector@localhost:5432/market"',
    "compress_after": '"never"',
    "keep": '"unlimited"',
}


def sample() -> str:
    """Return the text of a configuration file that works as it is and names every setting."""
    lines = [_HEAD]
    sections = {}
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections[name] = field.annotation
        elif name != "venues":
            lines += [*_key(name, field), ""]
    for name, model in sections.items():
        lines += [*_section(name, model), ""]
    for name in venues.names():
        lines += [*_section(f"venues.{name}", venues.find(name).settings, venue=name), ""]
    return "\n".join(lines)


def _section(title: str, model: type[BaseModel], venue: str = "") -> Iterator[str]:
    # A venue without a choice of ours is for the reader to switch on.
    off = "# " if venue and all(name != venue for name, _ in _CHOICES) else ""
    yield f"{off}[{title}]"
    tables = []
    for name, field in model.model_fields.items():
        if name == "adapter":
            field = FieldInfo(default=venue, annotation=str, description=field.description)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            tables.append((name, field.annotation))
        else:
            yield from _key(name, field, _CHOICES.get((venue, name)))
    told: set[type[BaseModel]] = set()
    for name, inner in tables:
        yield ""
        yield f"[{title}.{name}]"
        for key, field in inner.model_fields.items():
            # The same keys again need no second explanation.
            said = FieldInfo(default=field.default, annotation=field.annotation) if inner in told else field
            yield from _key(key, said)
        told.add(inner)


def _key(name: str, field: FieldInfo, choice: str | None = None) -> Iterator[str]:
    for line in textwrap.wrap(field.description or "", _LINE_MAX_CHARACTERS - 2):
        yield f"# {line}"
    if choice:
        yield f"{name} = {choice}"
    else:
        yield f"#{name} = {_value(name, field)}"


def _value(name: str, field: FieldInfo) -> str:
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    default = field.default
    if default is PydanticUndefined or (default is None and is_secret(field.annotation)):
        return '".."'
    if default is None:
        return f'"{UNLIMITED}"' if float in alternatives(field.annotation) else '".."'
    return _toml(default)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict) and value:
        return f"{{ {', '.join(f'{key} = {_toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(sample())
