"""Plain scalars by the YAML 1.2 core schema.

YAML 1.1 reads `off` as false, `1:30` as 90 and `010` as 8, which surprises whoever writes machine
names and register numbers. One step further than 1.2: digits with leading zeros stay text, because
`00101` is a Modbus coil and `007` a station; a key that wants a number still takes them. And a
number that can be written in several ways keeps its text: `0x9CA5` is not the register `40101`, and
`40101.10` not the bit `40101.1`.
"""

from __future__ import annotations

import re
from typing import Final

Plain = str | int | float | bool | None


class WrittenInt(int):
    """An integer in hexadecimal or octal; as text it is what was written."""

    text: str

    def __new__(cls, text: str) -> WrittenInt:
        made = super().__new__(cls, text, 0)
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text

    def __format__(self, layout: str) -> str:
        return format(int(self), layout)  # `{i}` of a `for` fills in a number


class WrittenFloat(float):
    """A number with a point or an exponent; as text it is what was written."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text


_CONSTANTS: Final[dict[str, Plain]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,29})")
_RADIX = re.compile(r"0x[0-9a-fA-F]{1,25}|0o[0-7]{1,30}")
_FLOAT = re.compile(
    r"(?=.*[.eE])[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
)


def plain(text: str) -> Plain:
    """What an unquoted scalar means."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return WrittenInt(text)
    return WrittenFloat(text) if _FLOAT.fullmatch(text) else text
