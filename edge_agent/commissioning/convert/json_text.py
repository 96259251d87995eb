"""JSON with the line of every value, for files whose faults are to be told by line."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_DEEPEST: Final = 50
_DECODER: Final = json.JSONDecoder()


class Located(dict[str, Any]):
    """An object; `line` is where it begins, `lines` where each of its keys stands."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


def parse(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, whose text ends with the line."""
    reader = _Reader(text)
    value, end = reader.value(0, 0)
    if _BLANK.match(text, end).end() != len(text):  # type: ignore[union-attr]  # the pattern matches nothing as well
        raise reader.fault("more than one value", end)
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def fault(self, what: str, at: int) -> ValueError:
        return ValueError(f"{what} in line {self._line(at)}")

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def _next(self, at: int) -> int:
        match = _BLANK.match(self._text, at)
        return at if match is None else match.end()

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """(value, the position behind it)."""
        at = self._next(at)
        sign = self._text[at : at + 1]
        if depth > _DEEPEST:
            raise self.fault("nested too deep", at)
        if sign == "{":
            return self._object(at, depth)
        if sign == "[":
            return self._array(at, depth)
        if sign == '"':
            return self._string(at)
        match = _WORD.match(self._text, at)
        if match is None:
            raise self.fault("not JSON", at)
        return json.loads(match[0]), match.end()

    def _string(self, at: int) -> tuple[str, int]:
        try:
            text, end = _DECODER.raw_decode(self._text, at)
        except ValueError as error:
            raise self.fault("a text that does not end", at) from error
        return str(text), end

    def _object(self, at: int, depth: int) -> tuple[Located, int]:
        found = Located(self._line(at))
        at = self._next(at + 1)
        while self._text[at : at + 1] != "}":
            if self._text[at : at + 1] != '"':
                raise self.fault("a key without quotes", at)
            line = self._line(at)
            key, at = self._string(at)
            at = self._next(at)
            if self._text[at : at + 1] != ":":
                raise self.fault("a colon is missing", at)
            found[key], at = self.value(at + 1, depth + 1)
            found.lines[key] = line
            at = self._separator(at, "}")
        return found, at + 1

    def _array(self, at: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self._next(at + 1)
        while self._text[at : at + 1] != "]":
            value, at = self.value(at, depth + 1)
            found.append(value)
            at = self._separator(at, "]")
        return found, at + 1

    def _separator(self, at: int, end: str) -> int:
        at = self._next(at)
        sign = self._text[at : at + 1]
        if sign == ",":
            return self._next(at + 1)
        if sign != end:
            raise self.fault("a comma is missing", at)
        return at
