"""Single cells of a point list as values of the configuration."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import yaml

from edge_agent.commissioning.lists.words import YES, WordError, plain
from edge_agent.config import scalars
from edge_agent.register.columns import fold

_NODE: Final = re.compile(r"(?:ns=\d+;|nsu=[^;]+;)?[isgb]=.+", re.DOTALL)
_DURATION: Final = re.compile(r"\d+(?:\.\d+)?\s*(ms|s|m|min|h|d)?")
_LABEL: Final = re.compile(r"\s*(-?\d+)\s*[=:：\-–—]\s*(.*?)\s*", re.DOTALL)
_BOUNDS: Final = re.compile(
    r"[\[(]?\s*(-?[\d.]+(?:e[+-]?\d+)?)\s*(?:~|～|to|至|,|，"
    r"|\.\.+|-|–|—)\s*(-?[\d.]+(?:e[+-]?\d+)?)\s*[\])]?",
    re.I,
)

_LARGEST: Final = 1e300
_DIGITS: Final = 300
_PLACES: Final = 12


def is_node(text: str) -> bool:
    """Whether a text is an OPC UA node id, and not a path."""
    return _NODE.fullmatch(text.strip()) is not None


def scalar(text: str) -> Any:
    """What a text without quotes means in the configuration; numbers keep their digits."""
    return scalars.plain(text) if text else text


def number(text: str) -> Any:
    """A number as written. Raises WordError."""
    written = plain(text).replace(" ", "")
    value = scalar(written)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = decimal(_amount(written.replace(",", ""), text))
    if not abs(value) < _LARGEST:
        raise WordError(f"“{text}”太大，不是有效的数字。", f"“{text}” is too large to be a number.")
    return value


def _amount(written: str, text: str) -> Decimal:
    try:
        value = Decimal(written)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value.adjusted() > _DIGITS:
        raise WordError(f"“{text}”不是数字。", f"“{text}” is no number.")
    return value


_FACTOR: Final = re.compile(r"(?P<sign>[x×*/÷]|1/)?(?P<number>[^倍]+)倍?", re.I)


def factor(text: str) -> Any:
    """A factor: `0.1`, also `x0.1`, `/10` or `1/10`. Raises WordError."""
    match = _FACTOR.fullmatch(plain(text).replace(" ", ""))
    if match is None or match["sign"] is None:
        return number(text.replace("倍", ""))
    value = exact(match["number"])
    if match["sign"] in ("/", "÷", "1/"):
        if not value:
            raise WordError(f"“{text}”不能除以零。", f"“{text}” divides by zero.")
        value = 1 / value
    return decimal(value)


def decimal(value: Decimal) -> Any:
    """A decimal as the shortest number of the configuration."""
    if value == value.to_integral_value():
        return int(value)
    return scalar(f"{value.normalize():f}") if abs(value.adjusted()) < 12 else float(value)


def exact(text: str) -> Decimal:
    """A number with all its digits, for a computation. Raises WordError."""
    return _amount(plain(text).replace(",", ""), text)


def places(text: str) -> int:
    """A number of decimal places. Raises WordError."""
    value = whole_number(text)
    if not 0 <= value <= _PLACES:
        raise WordError(
            f"小数位应在 0 到 {_PLACES} 之间。", f"decimal places must be 0 to {_PLACES}."
        )
    return value


def whole_number(text: str) -> int:
    """A whole number. Raises WordError."""
    value = number(text)
    if value != int(value):
        raise WordError(f"“{text}”不是整数。", f"“{text}” is no whole number.")
    return int(value)


def duration(text: str) -> Any:
    """A time such as `500ms` or `1s`; a bare number is seconds. Raises WordError."""
    written = (
        plain(text).replace("秒", "s").replace("毫s", "ms").replace("分钟", "m").replace("分", "m")
    )
    if _DURATION.fullmatch(written) is None:
        raise WordError(
            f"“{text}”不是时长，如 500ms、1s。", f"“{text}” is no duration such as 500ms or 1s."
        )
    return scalar(written)


def milliseconds(text: str) -> Any:
    """A number of milliseconds as a duration. Raises WordError."""
    if re.search(r"[a-z秒分]", plain(text), re.I):
        return duration(text)
    value = number(text)
    if value <= 0:
        raise WordError(f"“{text}”应大于 0。", f"“{text}” must be above 0.")
    return f"{value / 1000:g}s" if value >= 1000 and value % 100 == 0 else f"{value:g}ms"


def deadband(text: str) -> Any:
    """A number, or a percentage. Raises WordError."""
    return plain(text) if plain(text).endswith("%") else number(text)


def labels(text: str) -> dict[int, str]:
    """`0=停止;1=运行` and its like as names of numbers. Raises WordError."""
    found: dict[int, str] = {}
    for part in re.split(r"[;；\n|]|[,，](?=\s*-?\d+\s*[=:：\-–—])|\s+(?=-?\d+\s*[=:：])", text):
        if not part.strip():
            continue
        match = _LABEL.fullmatch(part)
        if match is None or not match[2]:
            raise WordError(
                f"“{part}”不是“数字=名称”；整格写成 0=停止;1=运行。",
                f"“{part}” is not number=name; write the cell as 0=stopped;1=running.",
            )
        found[int(match[1])] = match[2]
    return found


def bounds(text: str) -> list[Any]:
    """`0~100`, `0-100`, `[0, 100]`: lowest and highest. Raises WordError."""
    match = _BOUNDS.fullmatch(plain(text))
    if match is None:
        raise WordError(f"“{text}”不是范围，如 0~100。", f"“{text}” is no range such as 0~100.")
    return [number(match[1]), number(match[2])]


def flag(text: str) -> bool:
    """Whether a cell says yes."""
    return fold(plain(text)) in YES


def mapping(text: str) -> dict[str, Any]:
    """The further keys of a tag in one cell, as YAML: `{optional: true}`. Raises WordError."""
    try:
        value = yaml.load(text, _PlainLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise WordError(
            f"“{text}”应为一组键值，如 {{optional: true}}。",
            f"“{text}” must be keys and values, as in {{optional: true}}.",
        )
    return value


class _PlainLoader(yaml.SafeLoader):
    """Plain scalars as the configuration reads them."""


def _scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    return node.value if node.style else scalar(node.value)


for _tag in ("str", "int", "float", "bool", "null", "timestamp"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _scalar)
