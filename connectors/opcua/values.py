"""Decoded columns made to fit their tags: quality applied, kinds converted where nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from connectors.opcua.binary import UNSUPPORTED
from connectors.opcua.options import OpcuaTag
from connectors.opcua.structures import READ, is_structure, plain_value, type_name
from edge_agent.sdk import STATUS, Kind, TagTable, Value

log = logging.getLogger(__name__)

_BAD: Final = 0x80000000
_SEVERITY: Final = 0xC0000000
_EXACT: Final = 2**53
OVERFLOW: Final = 0x00000480
"""InfoType DataValue with the overflow bit (OPC 10000-4 §7.39): the server's queue dropped older values."""

_TYPES: Final[dict[Kind, type]] = {"bool": bool, "int": int, "float": float, "text": str, "array": list}


def _to_bool(value: Any) -> Value:
    return bool(value) if value in (0, 1) else None


def _to_int(value: Any) -> Value:
    return int(value) if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()) else None


def _to_float(value: Any) -> Value:
    return float(value) if isinstance(value, int) and -_EXACT <= value <= _EXACT else None


def _to_text(value: Any) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _to_array(_: Any) -> Value:
    return None


_CONVERT: Final[dict[type, Callable[[Any], Value]]] = {
    bool: _to_bool, int: _to_int, float: _to_float, str: _to_text, list: _to_array,
}  # fmt: skip


class Shape:
    """What kinds of values the tags of a table have: by their configuration, or, of kind `any`, as the server has them.

    It outlives connections, so that a server that comes back with another type is noticed.
    """

    __slots__ = ("_logged", "_table", "types")

    def __init__(self, table: TagTable) -> None:
        self.types: list[type | None] = [_TYPES.get(tag.kind) for tag in table.tags]
        """None: of kind `any`, and no value has come yet."""
        self._table = table
        self._logged: set[tuple[int, str]] = set()

    def settle(self, values: list[Any], status: dict[int, int], columns: Sequence[int] | None = None) -> None:
        """Make `values` and `status` those of a batch, in place: a bad position has no value, a good one no status.

        A value of another type than its tag's becomes one when that loses nothing, else BadTypeMismatch. A tag of kind
        `any` has the type of its value; should that change, the value travels as it is and the log says so.
        """
        types = self.types if columns is None else [self.types[c] for c in columns]
        if status:
            _apply(values, status)
        if list(map(type, values)) != types:
            for at, (value, wanted) in enumerate(zip(values, types, strict=True)):
                if type(value) is not wanted and not status.get(at, 0) & _BAD:
                    self._fit(values, status, at, at if columns is None else columns[at])

    def _fit(self, values: list[Any], status: dict[int, int], at: int, tag: int) -> None:
        """Make one value its tag's, or bad."""
        value = values[at]
        if is_structure(value):
            value = values[at] = self._plain(value, tag)
            if value is None:
                status[at] = STATUS["BadDecodingError"]
                return
        if value is None:
            # A good or uncertain nothing: the server has no value for it yet.
            status[at] = STATUS["BadWaitingForInitialData"]
        elif value is UNSUPPORTED:
            values[at] = None
            status[at] = STATUS["BadDecodingError"]
        elif self._table.tags[tag].kind == "any":
            self._learn(tag, type(value))
        elif type(value) is not self.types[tag]:
            self._convert(values, status, at, tag)

    def _convert(self, values: list[Any], status: dict[int, int], at: int, tag: int) -> None:
        value = values[at]
        wanted = _TYPES[self._table.tags[tag].kind]
        values[at] = _CONVERT[wanted](value) if isinstance(value, bool | int | float) else None
        if values[at] is None:
            status[at] = STATUS["BadTypeMismatch"]
            self._log_once(tag, "opcua-type-mismatch", f"write type: {_kind_of(type(value))}")

    def _learn(self, tag: int, found: type) -> None:
        """The server's type holds for a tag that has none of its own."""
        before = self.types[tag]
        self.types[tag] = found
        if before is not None and before is not found:
            self._log_once(tag, "opcua-type-changed", f"was {_kind_of(before)}, is {_kind_of(found)}")

    def _plain(self, value: Any, tag: int) -> Any:
        """A structure as one of our values, or None, once with a line that says why."""
        options = self._table.tags[tag].where
        field = options.field if isinstance(options, OpcuaTag) else None
        found = plain_value(value, field)
        if found is None:
            name = type_name(value)
            known = value[0].fields if isinstance(value, tuple) else value.fields
            hint = f"structures are not read, but for {READ}" if known is None else f"no field {field}: {list(known)}"
            self._log_once(tag, "opcua-structure", f"{name}: {hint}")
        return found

    def _log_once(self, tag: int, what: str, hint: str) -> None:
        if (tag, hint) not in self._logged:
            self._logged.add((tag, hint))
            log.warning("%s device=%s tag=%s hint=%r", what, self._table.device, self._table.names[tag], hint)


def _kind_of(found: type) -> str:
    return next((kind for kind, python in _TYPES.items() if python is found), found.__name__)


def _apply(values: list[Any], status: dict[int, int]) -> None:
    for position, code in list(status.items()):
        if code & _BAD:
            values[position] = None
        elif not code & _SEVERITY:
            del status[position]
