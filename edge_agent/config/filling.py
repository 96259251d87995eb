"""Variables of `for` and what they fill in: `{i}`, `{i:03}`, `{i*2+100}`. No expression is ever
evaluated."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from edge_agent.config.findings import Findings, advice
from edge_agent.config.places import FilePosition, SecretReference, YamlMapping, YamlSequence
from edge_agent.config.width import full_width

_RANGE = re.compile(r"\s*(-?\d{1,9})\s*\.\.\s*(-?\d{1,9})\s*", re.ASCII)
#: `{{`, `}}`, or a variable, times a number, plus or minus a number, with a format: fill, width up
#: to 99, and base.
_VARIABLE: Final = re.compile(
    r"\{\{|\}\}|\{\s*(?P<name>[A-Za-z_]\w*)\s*(?:\*\s*(?P<factor>-?[0-9]{1,9})\s*)?"
    r"(?P<offset>[+-]\s*[0-9]{1,9})?\s*(?::(?P<format>0?[0-9]{0,2}[dxX]?))?\}"
)

Variables = Mapping[str, str | int]


def combinations(
    loops: object, at: FilePosition, most: int, found: Findings
) -> Iterator[Variables]:
    """Every combination of the variables of a `for` that stands at `at`; none, with a finding, when
    it is faulty.

    More than `most` combinations are a finding too.
    """
    if not isinstance(loops, YamlMapping) or not loops:
        found.add(
            "wrong-type", at, '"for" 应写成 {i: 1..100}。', '"for" must be written as {i: 1..100}.'
        )
        return
    names = [str(name) for name in loops]
    values = [_values(loops, name, found) for name in loops]
    if math.prod(map(len, values)) > most:  # before product() makes lists of the ranges
        zh = f"for 展开超过 {most} 个组合，请缩小范围。"
        en = f"for makes more than {most} combinations; use a smaller range."
        found.add("too-large", at, zh, en)
        return
    for combination in itertools.product(*values):
        yield dict(zip(names, combination, strict=True))


def looks_like_loops(value: object) -> bool:
    """Whether something can only be meant as what stands under `for`: ranges and lists by
    variable."""
    return (
        isinstance(value, YamlMapping)
        and bool(value)
        and all(
            isinstance(one, YamlSequence)
            or (isinstance(one, str) and _RANGE.fullmatch(one) is not None)
            for one in value.values()
        )
    )


def _values(loops: YamlMapping, name: object, found: Findings) -> list[str | int] | range:
    """What a variable runs through; nothing, with a finding, when it cannot be understood."""
    written = loops[name]
    at = loops.values_at[name]
    if (
        isinstance(written, YamlSequence)
        and written
        and all(isinstance(item, str | int) for item in written)
    ):
        return list(written)
    match = _RANGE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        if isinstance(written, str) and (finding := full_width(written, at)) is not None:
            found.add(*finding)
            return []
        zh = f'"for.{name}" 应为范围 1..100 或列表 [a, b]。'
        en = f'"for.{name}" must be a range such as 1..100 or a list such as [a, b].'
        found.add("bad-range", at, zh, en)
        return []
    first = int(match[1])
    last = int(match[2])
    if first > last:
        zh, en = (
            f"范围 {written} 是空的，请把小的数写在前面。",
            f"the range {written} is empty; write the smaller number first.",
        )
        found.add("bad-range", at, zh, en)
    return range(first, last + 1)


class Filling:
    """Fills one combination of variables into what was written. What holds no variable is shared,
    not copied."""

    def __init__(
        self, variables: Variables, found: Findings, later: frozenset[str] | None = None
    ) -> None:
        """`later`: the variables of a `for` around this one, which is applied afterwards; with it,
        those and doubled braces stay as they are."""
        self._variables = variables
        self._found = found
        self._later = later

    def table(self, table: YamlMapping) -> YamlMapping:
        """The mapping with its values, and keys that are text, filled in."""
        result = table
        for key, value in table.items():
            if type(key) is str and "{" in key:
                return self._renamed(table)
            filled = self._value(value, table.values_at[key])
            if filled is not value:
                if result is table:
                    result = table.copy()
                result[key] = filled
        return result

    def text(self, text: str, at: FilePosition) -> str | int:
        """One text; a number where a variable is all there is: `unit: "{i}"`."""
        if "{" not in text:
            return text
        whole = _VARIABLE.fullmatch(text)
        if whole and whole["name"] in self._variables and whole["format"] is None:
            return self._computed(whole, at)
        return _VARIABLE.sub(lambda match: self._replacement(match, at), text)

    def _renamed(self, table: YamlMapping) -> YamlMapping:
        result = YamlMapping(table.place)
        result.pattern = table.pattern
        for key, value in table.items():
            at = table.keys_at[key]
            name = str(self.text(key, at)) if isinstance(key, str) else key
            if name in result:
                zh = f"填入变量后键 {name!r} 重复了，请改名。"
                en = f"with the variables filled in, the key {name!r} is written twice; rename one."
                self._found.add("duplicate-key", at, zh, en, "name")
            else:
                result.put(name, self._value(value, table.values_at[key]), at, table.values_at[key])
        return result

    def _items(self, items: YamlSequence) -> YamlSequence:
        filled = [self._value(value, at) for value, at in zip(items, items.at, strict=True)]
        if all(new is old for new, old in zip(filled, items, strict=True)):
            return items
        result = YamlSequence(items.place)
        for value, at in zip(filled, items.at, strict=True):
            result.add(value, at)
        return result

    def _value(self, value: object, at: FilePosition) -> object:
        if isinstance(value, str):
            return self.text(value, at)
        if isinstance(value, YamlMapping):
            return self.table(value)
        if isinstance(value, YamlSequence):
            return self._items(value)
        if isinstance(value, SecretReference):
            argument = str(self.text(value.argument, at))
            return value if argument == value.argument else SecretReference(value.tag, argument)
        return value

    def _computed(self, match: re.Match[str], at: FilePosition) -> str | int:
        """The variable, times a number, plus a number."""
        value = self._variables[match["name"]]
        if match["factor"] is None and match["offset"] is None:
            return value
        if isinstance(value, int):
            return value * int(match["factor"] or 1) + int(
                (match["offset"] or "0").replace(" ", "")
            )
        zh = f"变量 {match['name']!r} 是文字，不能用来计算，请去掉 * 和 + 的部分。"
        en = (
            f"the variable {match['name']!r} is text and cannot be calculated with; remove what "
            "follows its name."
        )
        self._found.add("bad-format", at, zh, en)
        return match[0]

    def _replacement(self, match: re.Match[str], at: FilePosition) -> str:
        name = match["name"]
        layout = match["format"]
        if name is None:
            return match[0][0] if self._later is None else match[0]
        if name not in self._variables:
            return self._unknown(match, at)
        value = self._computed(match, at)
        if layout is None or isinstance(value, int):
            return format(value, layout or "")
        zh = f"变量 {name!r} 是文字，不能用数字格式 {layout!r}，请去掉冒号后的部分。"
        en = (
            f"the variable {name!r} is text and takes no number format {layout!r}; remove what "
            "follows the colon."
        )
        self._found.add("bad-format", at, zh, en)
        return match[0]

    def _unknown(self, match: re.Match[str], at: FilePosition) -> str:
        name = match["name"]
        if self._later is None or name not in self._later:
            zh, en = advice(name, [*self._variables, *(self._later or ())])
            zh, en = f"for 里没有变量 {name!r}；{zh}", f"no variable {name!r} in for; {en}"
            self._found.add("unknown-variable", at, zh, en)
        return match[0]
