"""Decoded columns made to fit their tags: quality applied, kinds converted where nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from connectors.opcua.binary import UNSUPPORTED
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
    """What kinds of values the tags of a table want."""

    __slots__ = ("_table", "_told", "types")

    def __init__(self, table: TagTable) -> None:
        self.types = [_TYPES[tag.kind] for tag in table.tags]
        self._table = table
        self._told: set[int] = set()

    def settle(self, values: list[Any], status: dict[int, int], columns: Sequence[int] | None = None) -> None:
        """Make `values` and `status` those of a batch, in place: a bad position has no value, a good one no status.

        A value of another type than its tag's becomes one when that loses nothing, else BadTypeMismatch.
        """
        types = self.types if columns is None else [self.types[c] for c in columns]
        if status:
            _apply(values, status)
        if list(map(type, values)) != types:
            for position, found in _fit(values, status, types):
                self._tell(position if columns is None else columns[position], found)

    def _tell(self, tag: int, found: type) -> None:
        """Once a tag: which `type` its entry in the configuration lacks."""
        if tag not in self._told:
            self._told.add(tag)
            name, device = self._table.names[tag], self._table.device
            kind = next(kind for kind, python in _TYPES.items() if python is found)
            log.warning(
                "opcua-type-mismatch device=%s tag=%s hint='write type: %s'", device, name, kind,
                extra={"cause": (device, kind)},
            )  # fmt: skip


def _apply(values: list[Any], status: dict[int, int]) -> None:
    for position, code in list(status.items()):
        if code & _BAD:
            values[position] = None
        elif not code & _SEVERITY:
            del status[position]


def _fit(values: list[Any], status: dict[int, int], types: Sequence[type]) -> list[tuple[int, type]]:
    """Convert what can be; returns (position, type found) of what cannot."""
    refused = []
    for position, (value, wanted) in enumerate(zip(values, types, strict=True)):
        if type(value) is wanted or status.get(position, 0) & _BAD:
            continue
        if value is None:
            # A good or uncertain nothing: the server has no value for it yet.
            status[position] = STATUS["BadWaitingForInitialData"]
        elif value is UNSUPPORTED:
            values[position], status[position] = None, STATUS["BadDecodingError"]
        else:
            values[position] = _CONVERT[wanted](value) if isinstance(value, bool | int | float) else None
            if values[position] is None:
                status[position] = STATUS["BadTypeMismatch"]
                refused.append((position, type(value)))
    return refused
