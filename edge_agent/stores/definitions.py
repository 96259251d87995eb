"""What the numbers of a tag meant, and from when on: rows with a time, one for each change.

A tag's newest birth entry stands in the catalogue; here stand the moments at which its scaling,
unit, kind or address changed, or its device took the place of another, with what was said before
and after. The figures begin a new epoch of a counter there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

#: What of a tag's entry says what its numbers mean.
_KEYS: Final = (
    "type",
    "address",
    "scale",
    "offset",
    "exponent_from",
    "unit",
    "modulus",
    "range",
    "max_rate",
)
#: What begins an epoch when it changes.
_COMPARED: Final = ("type", "address", "scale", "offset", "exponent_from", "unit")


class DefinitionChange(NamedTuple):
    """From `t` (ns) on the tag is what `after` says; until then it was what `before` says."""

    sid: int
    t: int
    before: str
    after: str
    """JSON objects with keys of a birth entry: `type`, `address`, `scale`, `offset`,
    `exponent_from`, `unit` (empty: it has none), `modulus`, `range`, `max_rate`; and `device`,
    where a device took the place of another."""


class Definitions:
    """The changes of all tags. Entered by the ingest's loop, read by any thread."""

    def __init__(self, rows: Iterable[DefinitionChange] = ()) -> None:
        self._lock = threading.Lock()
        self._of: dict[int, tuple[DefinitionChange, ...]] = {}
        self._new: list[DefinitionChange] = []
        for row in rows:
            self._add(DefinitionChange(*row))

    def _add(self, row: DefinitionChange) -> bool:
        known = self._of.get(row.sid, ())
        if row in known:
            return False
        self._of[row.sid] = tuple(sorted((*known, row), key=lambda each: each.t))
        return True

    def of(self, sid: int) -> tuple[DefinitionChange, ...]:
        """The changes of one series, by time."""
        return self._of.get(sid, ())

    def former_units(self) -> dict[int, list[str]]:
        """The units that series had before another one."""
        with self._lock:
            rows = [row for own in self._of.values() for row in own]
        found: dict[int, list[str]] = {}
        for row in rows:
            old = orjson.loads(row.before).get("unit")
            new = orjson.loads(row.after).get("unit")
            if old and old != new and old not in found.setdefault(row.sid, []):
                found[row.sid].append(old)
        return {sid: units for sid, units in found.items() if units}

    def born(self, sid: int, t: object, before: str, after: Mapping[str, Any]) -> None:
        """A birth document says something new of a tag; `before`: its entry until now, as JSON,
        empty without any."""
        if before and type(t) is int:
            old = orjson.loads(before)
            if differs(old, after):
                self._enter(DefinitionChange(sid, t, _definition(old), _definition(after)))

    def replaced(
        self,
        sid: int,
        t: object,
        devices: tuple[str, str],
        before: str,
        after: Mapping[str, Any],
        *,
        tag: bool,
    ) -> None:
        """A series begins that goes on with another one's history. `devices`: keys of the former
        and of this device; `tag`: only the tag was renamed, which is the same counter as long as it
        is defined alike."""
        old = orjson.loads(before) if before else {}
        if type(t) is not int or (tag and not differs(old, after)):
            return
        former, now = devices
        names = ({}, {}) if tag else ({"device": former}, {"device": now})
        self._enter(
            DefinitionChange(sid, t, _definition(old, names[0]), _definition(after, names[1]))
        )

    def _enter(self, row: DefinitionChange) -> None:
        with self._lock:
            if self._add(row):
                self._new.append(row)

    def take_new(self) -> list[DefinitionChange]:
        """What the store lacks; give it back with `put_back` when it could not be written."""
        with self._lock:
            new = self._new
            self._new = []
        return new

    def put_back(self, rows: list[DefinitionChange]) -> None:
        """Undo `take_new` after a write that failed."""
        with self._lock:
            self._new = [*rows, *self._new]


def differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two entries of one tag define it differently. What an earlier agent did not say is no
    difference."""
    if "address" not in old or "address" not in new:
        both = [(old.get(key), new.get(key)) for key in ("type", "unit")]
        return any(None not in pair and pair[0] != pair[1] for pair in both)
    typed = old.get("type") is not None and new.get("type") is not None
    return any(old.get(key) != new.get(key) for key in _COMPARED if key != "type" or typed)


def _definition(entry: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> str:
    # An entry without address is of an earlier agent: of such a one nothing follows from what it
    # leaves out.
    unit = {"unit": ""} if "address" in entry else {}
    return orjson.dumps(
        {**unit, **{key: entry[key] for key in _KEYS if key in entry}, **(more or {})}
    ).decode()
