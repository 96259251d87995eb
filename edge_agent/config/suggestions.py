"""What somebody most likely meant by an unknown word; never one that would read the bytes in
another way.

Who follows "did you mean" must not get a wrong number that looks good: a type of another width or
kind, or another order of bytes, is no suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edge_agent.config.findings import nearest

Sentence = tuple[str, str]

#: A type as people write it: its family, and how many bits.
_TYPE: Final = re.compile(
    r"(?P<family>bool|boolean|bit|u|i|s|f|int|uint|sint|usint|integer|unsigned|signed|float|real|double|bcd|string|str|text)"
    r"[_\- ]?(?P<bits>\d{1,3})?"
)
_FAMILIES: Final[dict[str, str]] = {
    "boolean": "bool",
    "bit": "bool",
    "u": "uint",
    "unsigned": "uint",
    "usint": "uint",
    "i": "int",
    "s": "int",
    "sint": "int",
    "signed": "int",
    "integer": "int",
    "f": "float",
    "real": "float",
    "str": "string",
    "text": "string",
}
#: Names of other worlds (IEC 61131-3, C) whose width is fixed.
_SYNONYMS: Final[dict[str, str]] = {
    "word": "uint16",
    "dword": "uint32",
    "lword": "uint64",
    "udint": "uint32",
    "ulint": "uint64",
    "dint": "int32",
    "lint": "int64",
    "real": "float32",
    "lreal": "float64",
    "double": "float64",
    "boolean": "bool",
    "bit": "bool",
    "byte": "uint8",
    "usint": "uint8",
    "sint": "int8",
    "char": "int8",
    "half": "float16",
    "single": "float32",
}
_ORDER: Final = re.compile(r"[A-Da-d]{2,8}")
_CLEAR: Final = 0.8
"""How alike two orders of bytes must be written: `swapped` could be either of two."""


def meant(word: object, choices: Iterable[str]) -> Sentence:
    """The sentence that names the choice a word most likely meant, or says what to do instead;
    empty without either."""
    known = list(choices)
    text = str(word).strip().casefold()
    if {"uint16", "float32"} <= set(known):
        return _type(text, known)
    if {"big-swapped", "little-swapped"} <= set(known):
        near = None if _ORDER.fullmatch(text) else nearest(text, known, _CLEAR)
    else:
        near = nearest(word, known)
    return _did_you_mean(near)


def _did_you_mean(near: str | None) -> Sentence:
    return ("", "") if near is None else (f" 是不是 {near!r}？", f" Did you mean {near!r}?")


def _type(text: str, known: list[str]) -> Sentence:
    canonical = _SYNONYMS.get(text) or _canonical(text)
    if canonical is None:
        near = nearest(text, known)
        return _did_you_mean(near if near is not None and _digits(near) == _digits(text) else None)
    if canonical in known:
        return _did_you_mean(canonical)
    return (
        f" 没有与 {text} 同宽的类型；换成别的宽度会读出错误的数。",
        f" There is no type as wide as {text}; another width would read a wrong number.",
    )


def _canonical(text: str) -> str | None:
    """`u16` -> uint16; None for what is not recognised as a type with its width."""
    match = _TYPE.fullmatch(text)
    if match is None or match["bits"] is None:
        return None
    return _FAMILIES.get(match["family"], match["family"]) + match["bits"]


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+", text)
