"""`template:` and `for:`: a few lines that stand for many devices.

`for: {i: 1..100}` repeats a device with `{i}` filled in wherever it stands in a text; several variables give every
combination. Substitution shares what holds no variable, so a thousand equal devices hold one copy of their tags.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edge_agent.config.findings import Findings, advice
from edge_agent.config.places import Items, Place, Reference, Table, merged

MAX_DEVICES: Final = 10_000
MAX_TAGS: Final = 500_000

_RANGE = re.compile(r"\s*(-?\d{1,9})\s*\.\.\s*(-?\d{1,9})\s*")
#: `{{`, `}}`, or a variable with an optional format for numbers: fill, width up to 99, and base.
_VARIABLE = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_]\w*)(?::(?P<format>0?[0-9]{0,2}[dxX]?))?\}")

Variables = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class RawDevice:
    """One device as written, template applied and variables filled in."""

    table: Table
    whole: bool
    """False when a part of it could not be found, so that what is missing is not to be held against it."""


def devices(site: Table, found: Findings) -> list[RawDevice]:
    """All devices of a site, in the order written."""
    templates = site.get("templates") or Table(site.place)
    result: list[RawDevice] = []
    tags = 0
    written = site.get("devices") or Items(site.place)
    for item, at in zip(written, written.at, strict=True):
        if not isinstance(item, Table):
            zh, en = (
                "每台设备应为一组键值（id, connector, ...）。",
                "each device must be a mapping (id, connector, ...).",
            )
            found.add("wrong-type", at, zh, en)
            continue
        device = _with_template(item, templates, found)
        for one in _repeat(device, found):
            result.append(one)
            tags += _size(one.table.get("tags"))
        if len(result) > MAX_DEVICES or tags > MAX_TAGS:
            zh = f"设备超过 {MAX_DEVICES} 台或变量超过 {MAX_TAGS} 个，请分成几个采集器。"
            en = f"more than {MAX_DEVICES} devices or {MAX_TAGS} tags; split them over several agents."
            found.add("too-large", at, zh, en)
            break
    return result


def _size(tags: object) -> int:
    return len(tags) if isinstance(tags, Table) else 0


def combine(base: Table, over: Table) -> Table:
    """A device laid over its template (or profile): keys replace, `tags` tag by tag and key by key.

    Null for a tag that the base has leaves it out.
    """
    result = merged(over.place, base, over)
    below, above = base.get("tags"), over.get("tags")
    if isinstance(below, Table) and isinstance(above, Table):
        tags = merged(above.place, below, above)
        for name in above:
            if isinstance(above[name], Table) and isinstance(below.get(name), Table):
                tags[name] = merged(above[name].place, below[name], above[name])
            elif above[name] is None and name in below:
                tags.drop(name)
        result["tags"] = tags
    return result


def _with_template(item: Table, templates: Table, found: Findings) -> RawDevice:
    if item.get("template") is None:
        return RawDevice(_without(item, "template"), whole=True)
    name = item["template"]
    template = templates.get(name) if isinstance(name, str) else None
    if template is None:
        zh, en = advice(name, templates)
        found.add(
            "unknown-template", item.values_at["template"], f"没有模板 {name!r}；{zh}", f"no template {name!r}; {en}"
        )
        return RawDevice(_without(item, "template"), whole=False)
    for key in ("for", "template"):
        if key in template:
            zh, en = (
                f'模板里不能再写 "{key}"，请写在设备上。',
                f'a template cannot hold "{key}"; write it at the device.',
            )
            found.add("unknown-key", template.keys_at[key], zh, en)
    return RawDevice(combine(_without(template, "for", "template"), _without(item, "template")), whole=True)


def _without(table: Table, *keys: str) -> Table:
    result = table.copy()
    for key in keys:
        result.drop(key)
    return result


def _repeat(device: RawDevice, found: Findings) -> Iterator[RawDevice]:
    table = device.table
    if "for" not in table:
        yield device
        return
    loops = table["for"]
    body = _without(table, "for")
    if not isinstance(loops, Table) or not loops:
        zh, en = '"for" 应写成 {i: 1..100}。', '"for" must be written as {i: 1..100}.'
        found.add("wrong-type", table.values_at["for"], zh, en)
        return
    names = [str(name) for name in loops]
    values = [_values(loops, name, found) for name in loops]
    if math.prod(map(len, values)) > MAX_DEVICES:  # before product() makes lists of the ranges
        zh, en = (
            f"for 展开超过 {MAX_DEVICES} 台设备，请缩小范围。",
            f"for makes more than {MAX_DEVICES} devices; use a smaller range.",
        )
        found.add("too-large", table.values_at["for"], zh, en)
        return
    for combination in itertools.product(*values):
        variables = dict(zip(names, combination, strict=True))
        yield RawDevice(_Filling(variables, found).table(body), device.whole)


def _values(loops: Table, name: object, found: Findings) -> list[str | int] | range:
    """What a variable runs through; nothing, with a finding, when it cannot be understood."""
    written, at = loops[name], loops.values_at[name]
    if isinstance(written, Items) and written and all(isinstance(item, str | int) for item in written):
        return list(written)
    match = _RANGE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        zh = f'"for.{name}" 应为范围 1..100 或列表 [a, b]。'
        en = f'"for.{name}" must be a range such as 1..100 or a list such as [a, b].'
        found.add("bad-range", at, zh, en)
        return []
    first, last = int(match[1]), int(match[2])
    if first > last:
        zh, en = (
            f"范围 {written} 是空的，请把小的数写在前面。",
            f"the range {written} is empty; write the smaller number first.",
        )
        found.add("bad-range", at, zh, en)
    return range(first, last + 1)


class _Filling:
    """Fills one combination of variables into a device."""

    def __init__(self, variables: Variables, found: Findings) -> None:
        self._variables = variables
        self._found = found

    def table(self, table: Table) -> Table:
        result = table
        for key, value in table.items():
            filled = self._value(value, table.values_at[key])
            if filled is not value:
                if result is table:
                    result = table.copy()
                result[key] = filled
        return result

    def _items(self, items: Items) -> Items:
        filled = [self._value(value, at) for value, at in zip(items, items.at, strict=True)]
        if all(new is old for new, old in zip(filled, items, strict=True)):
            return items
        result = Items(items.place)
        for value, at in zip(filled, items.at, strict=True):
            result.add(value, at)
        return result

    def _value(self, value: object, at: Place) -> object:
        if isinstance(value, str):
            return self._text(value, at)
        if isinstance(value, Table):
            return self.table(value)
        if isinstance(value, Items):
            return self._items(value)
        if isinstance(value, Reference):
            argument = str(self._text(value.argument, at))
            return value if argument == value.argument else Reference(value.tag, argument)
        return value

    def _text(self, text: str, at: Place) -> str | int:
        if "{" not in text:
            return text
        whole = _VARIABLE.fullmatch(text)
        if whole and whole["name"] in self._variables and whole["format"] is None:
            return self._variables[whole["name"]]  # `unit: "{i}"` gives a number, not a text
        return _VARIABLE.sub(lambda match: self._replacement(match, at), text)

    def _replacement(self, match: re.Match[str], at: Place) -> str:
        name, layout = match["name"], match["format"]
        if name is None:
            return match[0][0]
        if name not in self._variables:
            zh, en = advice(name, self._variables)
            self._found.add(
                "unknown-variable", at, f"for 里没有变量 {name!r}；{zh}", f"no variable {name!r} in for; {en}"
            )
            return match[0]
        value = self._variables[name]
        if layout is None or isinstance(value, int):
            return format(value, layout or "")
        zh = f"变量 {name!r} 是文字，不能用数字格式 {layout!r}，请去掉冒号后的部分。"
        en = f"the variable {name!r} is text and takes no number format {layout!r}; remove what follows the colon."
        self._found.add("bad-format", at, zh, en)
        return match[0]
