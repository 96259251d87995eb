"""Plain data back to YAML, such that reading it again gives the same data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from edge_agent.config.places import Items, Reference, Table
from edge_agent.config.scalars import WrittenFloat, WrittenInt, plain


class _Dumper(yaml.SafeDumper):
    """Block style, no aliases, and texts quoted by the reader's own rules for plain scalars."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    quoted = None if plain(text) == text and isinstance(plain(text), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=quoted)


def _number(dumper: yaml.SafeDumper, number: WrittenInt | WrittenFloat) -> yaml.ScalarNode:
    kind = "int" if isinstance(number, int) else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", number.text)


def _reference(dumper: yaml.SafeDumper, reference: Reference) -> yaml.ScalarNode:
    return dumper.represent_scalar(reference.tag, reference.argument)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(WrittenInt, _number)
_Dumper.add_representer(WrittenFloat, _number)
_Dumper.add_representer(Reference, _reference)
_Dumper.add_representer(Table, lambda dumper, table: dumper.represent_dict(table.items()))
_Dumper.add_representer(Items, lambda dumper, items: dumper.represent_list(items))


def dump(data: Mapping[str, Any]) -> str:
    """The YAML text of a configuration; `!env` and `!file` references stay references."""
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)


def inline(data: Any) -> str:
    """The same of one value in a single line, as it may stand behind a key."""
    return _simple(data) or _emitted(data)


#: Texts that every reader of YAML takes as they stand, once they are known to be no number, date or truth value.
_BARE: Final = re.compile(r"[A-Za-z_\u4e00-\u9fff][A-Za-z0-9_/.\u4e00-\u9fff-]{0,60}")

#: What other readers than ours take for truth values.
_NOT_BARE: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _simple(data: object) -> str | None:
    """What `_emitted` makes of plain words, whole numbers and mappings of them, in a tenth of its time.

    None for everything else. Point lists have thousands of tags, and nearly all are of this kind.
    """
    if type(data) is str:
        bare = _BARE.fullmatch(data) is not None and data.lower() not in _NOT_BARE and plain(data) is data
        return data if bare else None
    if type(data) is int:
        return str(data)
    if type(data) is not dict or not data:
        return None
    parts = []
    for key, value in data.items():
        name, written = _simple(key), _simple(value)
        if name is None or type(key) is not str or written is None:
            return None
        parts.append(f"{name}: {written}")
    return "{" + ", ".join(parts) + "}"


def _emitted(data: object) -> str:
    text = yaml.dump(
        data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=float("inf"), default_flow_style=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
