"""Decoded columns made to fit their tags: quality applied, kinds converted where nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from connectors.opcua.binary import UNSUPPORTED
from edge_agent.sdk import STATUS, Cause, Kind, TagTable, Value, cause

log = logging.getLogger(__name__)

_BAD: Final = 0x80000000
_SEVERITY: Final = 0xC0000000
_EXACT: Final = 2**53
OVERFLOW: Final = 0x00000480
"""InfoType DataValue with the overflow bit (OPC 10000-4 §7.39): the server's queue dropped older values."""

_TYPES: Final[dict[Kind, type]] = {"bool": bool, "int": int, "float": float, "text": str, "array": list}

_KINDS: Final[dict[type, Kind]] = {python: kind for kind, python in _TYPES.items()}


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


_STRUCTURE: Final = cause("opcua_structure")


@lru_cache(maxsize=64)
def _mismatch(found: Kind, wanted: Kind) -> Cause:
    return cause("opcua_type_mismatch", found=found, wanted=wanted)


class Shape:
    """What kinds of values the tags of a table want."""

    __slots__ = ("_table", "_told", "types")

    def __init__(self, table: TagTable) -> None:
        self.types = [_TYPES[tag.kind] for tag in table.tags]
        self._table = table
        self._told: set[int] = set()

    def settle(
        self, values: list[Any], status: dict[int, int], columns: Sequence[int] | None = None
    ) -> dict[int, Cause] | None:
        """Make `values` and `status` those of a batch, in place: a bad position has no value, a good one no status.

        A value of another type than its tag's becomes one when that loses nothing, else BadTypeMismatch. Returns what
        more is known of such positions than their status, if there are any.
        """
        types = self.types if columns is None else [self.types[c] for c in columns]
        if status:
            _apply(values, status)
        if list(map(type, values)) == types:
            return None
        refused = _fit(values, status, types)
        for position, why in refused.items():
            self._log_once(position if columns is None else columns[position], why)
        return refused or None

    def _log_once(self, tag: int, why: Cause) -> None:
        """Once a tag: what its entry in the configuration lacks, or that there is nothing to read."""
        if tag not in self._told:
            self._told.add(tag)
            log.warning(
                "opcua-type-refused device=%s tag=%s cause=%s reason=%r",
                self._table.device, self._table.names[tag], why.name, why.en,
                extra={"cause": (self._table.device, why.name, why.en)},
            )  # fmt: skip


def _apply(values: list[Any], status: dict[int, int]) -> None:
    for position, code in list(status.items()):
        if code & _BAD:
            values[position] = None
        elif not code & _SEVERITY:
            del status[position]


def _fit(values: list[Any], status: dict[int, int], types: Sequence[type]) -> dict[int, Cause]:
    """Convert what can be; returns position -> why not of what cannot."""
    refused = {}
    for position, (value, wanted) in enumerate(zip(values, types, strict=True)):
        if type(value) is wanted or status.get(position, 0) & _BAD:
            continue
        if value is None:
            # A good or uncertain nothing: the server has no value for it yet.
            status[position] = STATUS["BadWaitingForInitialData"]
        elif value is UNSUPPORTED:
            values[position], status[position] = None, STATUS["BadDecodingError"]
            refused[position] = _STRUCTURE
        else:
            values[position] = _CONVERT[wanted](value) if isinstance(value, bool | int | float) else None
            if values[position] is None:
                status[position] = STATUS["BadTypeMismatch"]
                refused[position] = _mismatch(_KINDS[type(value)], _KINDS[wanted])
    return refused
