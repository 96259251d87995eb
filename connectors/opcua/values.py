"""Decoded columns made to fit their tags: quality applied, kinds converted where nothing is
lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from connectors.opcua.binary import UNSUPPORTED, Structure
from connectors.opcua.options import OpcuaTag
from connectors.opcua.structures import READ, is_structure, plain_value, type_name
from edge_agent.sdk import STATUS, Cause, Kind, TagTable, Value, cause, status_of_cause

log = logging.getLogger(__name__)

_BAD: Final = 0x80000000
_SEVERITY: Final = 0xC0000000
_EXACT: Final = 2**53
OVERFLOW: Final = 0x00000480
"""InfoType DataValue with the overflow bit (OPC 10000-4 §7.39): the server's queue dropped older
values."""

_TYPES: Final[dict[Kind, type]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "text": str,
    "array": list,
}


def _to_bool(value: Any) -> Value:
    return bool(value) if value in (0, 1) else None


def _to_int(value: Any) -> Value:
    return (
        int(value)
        if isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
        else None
    )


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


_MIXED: Final = cause("opcua_mixed")


@lru_cache(maxsize=64)
def _mismatch(found: str, wanted: str) -> Cause:
    return cause("opcua_type_mismatch", found=found, wanted=wanted)


class ValueShape:
    """What kinds of values the tags of a table have: by their configuration, or, of kind `any`, as
    the server has them.

    It outlives connections, so that a server that comes back with another type is noticed.
    """

    __slots__ = ("_logged", "_table", "types")

    def __init__(self, table: TagTable) -> None:
        self.types: list[type | None] = [_TYPES.get(tag.kind) for tag in table.tags]
        """None: of kind `any`, and no value has come yet."""
        self._table = table
        self._logged: set[tuple[int, str]] = set()

    def coerce(
        self, values: list[Any], status: dict[int, int], columns: Sequence[int] | None = None
    ) -> dict[int, Cause] | None:
        """Make `values` and `status` those of a batch, in place: a bad position has no value, a
        good one no status.

        A value of another type than its tag's becomes one when that loses nothing, else
        BadTypeMismatch. A tag of kind `any` has the type of its value; should that change, the
        value travels as it is and the log says so. Returns what more is known of bad positions than
        their status, if there are any.
        """
        types = self.types if columns is None else [self.types[c] for c in columns]
        if status:
            _apply(values, status)
        if list(map(type, values)) == types:
            return None
        causes: dict[int, Cause] = {}
        for at, (value, wanted) in enumerate(zip(values, types, strict=True)):
            if type(value) is not wanted and not status.get(at, 0) & _BAD:
                why = self._fit(values, status, at, at if columns is None else columns[at])
                if why is not None:
                    causes[at] = why
        return causes or None

    def _fit(self, values: list[Any], status: dict[int, int], at: int, tag: int) -> Cause | None:
        """Make one value its tag's, or bad; then why, where more is known than the status."""
        value = values[at]
        if is_structure(value):
            found = plain_value(value, self._field(tag))
            if found is None:
                return self._refuse(values, status, at, tag, _unread(value, self._field(tag)))
            value = values[at] = found
        if value is None:
            # A good or uncertain nothing: the server has no value for it yet.
            status[at] = STATUS["BadWaitingForInitialData"]
        elif value is UNSUPPORTED:
            return self._refuse(values, status, at, tag, _MIXED)
        elif self._table.tags[tag].kind == "any":
            self._learn(tag, type(value))
        elif type(value) is not self.types[tag]:
            kind = self._table.tags[tag].kind
            values[at] = (
                _CONVERT[_TYPES[kind]](value) if isinstance(value, bool | int | float) else None
            )
            if values[at] is None:
                return self._refuse(values, status, at, tag, _mismatch(_kind_of(type(value)), kind))
        return None

    def _refuse(
        self, values: list[Any], status: dict[int, int], at: int, tag: int, why: Cause
    ) -> Cause:
        values[at] = None
        status[at] = STATUS[status_of_cause(why.name)]
        if self._is_first(tag, why.en):
            log.warning(
                "opcua-type-refused device=%s tag=%s cause=%s reason=%r",
                self._table.device, self._table.names[tag], why.name, why.en,
                extra={"cause": (self._table.device, why.name, why.en)},
            )  # fmt: skip
        return why

    def _field(self, tag: int) -> str | None:
        options = self._table.tags[tag].where
        return options.field if isinstance(options, OpcuaTag) else None

    def _learn(self, tag: int, found: type) -> None:
        """The server's type holds for a tag that has none of its own."""
        before = self.types[tag]
        self.types[tag] = found
        if before is not None and before is not found:
            change = f"was {_kind_of(before)}, is {_kind_of(found)}"
            if self._is_first(tag, change):
                log.warning(
                    "opcua-type-changed device=%s tag=%s hint=%r",
                    self._table.device,
                    self._table.names[tag],
                    change,
                )

    def _is_first(self, tag: int, what: str) -> bool:
        """Whether the log does not have it yet."""
        known = (tag, what) in self._logged
        self._logged.add((tag, what))
        return not known


def _unread(value: Structure | tuple[Structure, ...], field: str | None) -> Cause:
    """Why a structure does not become a value."""
    known = (value[0] if isinstance(value, tuple) else value).fields
    if known is None:
        return cause("opcua_structure", type=type_name(value), read=", ".join(READ))
    return cause("opcua_field_unknown", type=type_name(value), field=field, known=", ".join(known))


def _kind_of(found: type) -> str:
    return next((kind for kind, python in _TYPES.items() if python is found), found.__name__)


def _apply(values: list[Any], status: dict[int, int]) -> None:
    for position, code in list(status.items()):
        if code & _BAD:
            values[position] = None
        elif not code & _SEVERITY:
            del status[position]
