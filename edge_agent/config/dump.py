"""Plain data back to YAML, such that reading it again gives the same data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

import yaml

from edge_agent.config.places import SecretReference, YamlMapping, YamlSequence
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


def _reference(dumper: yaml.SafeDumper, reference: SecretReference) -> yaml.ScalarNode:
    return dumper.represent_scalar(reference.tag, reference.argument)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(WrittenInt, _number)
_Dumper.add_representer(WrittenFloat, _number)
_Dumper.add_representer(SecretReference, _reference)
_Dumper.add_representer(YamlMapping, lambda dumper, table: dumper.represent_dict(table.items()))
_Dumper.add_representer(YamlSequence, lambda dumper, items: dumper.represent_list(items))


def dump(data: Mapping[str, Any]) -> str:
    """The YAML text of a configuration; `!env` and `!file` references stay references."""
    return yaml.dump(data, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)


def inline(data: Any) -> str:
    """The same of one value in a single line, as it may stand behind a key."""
    if type(data) is str:  # behind a key a text may stand as it is that between braces may not
        return _bare(data) or _emitted(data)
    return _simple(data) or _emitted(data)


#: Texts that every reader of YAML takes as they stand, also between braces, once they are known to
#: be no number, date or truth value.
_LETTER: Final = r"A-Za-z_\u4e00-\u9fff°µΩ℃"
_BARE: Final = re.compile(
    rf"(?=.{{1,60}}\Z)[{_LETTER}][{_LETTER}0-9/.()+*=~^%;$@&<>|!²³·×、。（）－／-]*"
    rf"(?: [{_LETTER}0-9/.()+*=~^%;$@&<>|!²³·×、。（）－／-]+)*"
)
_DECIMAL: Final = re.compile(r"-?\d{1,15}\.\d{1,15}", re.ASCII)

#: What other readers than ours take for truth values.
_NOT_BARE: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _simple(data: object) -> str | None:
    """What `_emitted` makes of words, numbers and lists and mappings of them, in a tenth of its
    time.

    None for everything else. Point lists have thousands of tags, and nearly all are of this kind.
    """
    kind = type(data)
    if kind is str:
        return _text_in_braces(cast("str", data))
    if kind is int:
        return str(data)
    if kind is bool:
        return "true" if data else "false"
    if kind is float or kind is WrittenFloat:
        number = repr(data)
        return number if _DECIMAL.fullmatch(number) else None
    if kind is dict and data:
        return _simple_mapping(cast("dict[object, object]", data))
    if kind is list and data:
        parts = [_simple(item) for item in cast("list[object]", data)]
        return None if None in parts else f"[{', '.join(cast('list[str]', parts))}]"
    return None


def _simple_mapping(data: Mapping[object, object]) -> str | None:
    parts = []
    for key, value in data.items():
        name = _bare(key) if type(key) is str else None
        written = _simple(value)
        if name is None or written is None:
            return None
        parts.append(f"{name}: {written}")
    return "{" + ", ".join(parts) + "}"


def _bare(text: str) -> str | None:
    bare = (
        _BARE.fullmatch(text) is not None and text.lower() not in _NOT_BARE and plain(text) is text
    )
    return text if bare else None


@lru_cache(maxsize=4096)
def _text_in_braces(text: str) -> str:
    """A text as it stands between braces or brackets, quoted where it has to be: units come again
    and again."""
    return _bare(text) or _emitted([text])[1:-1]


def _emitted(data: object) -> str:
    text = yaml.dump(
        data,
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        width=float("inf"),
        default_flow_style=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")
