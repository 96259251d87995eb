"""The exact cause behind what each device's state is now, as its agent said it: kept for as long as
it lasts.

A health row has the state and the name of its reason; the sentence with address and figures comes
with the transition into the state, and again with every row while it lasts. So it is there after a
restart, in a new store, and however long ago the state began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class DeviceCause(NamedTuple):
    """Why a device is as it is."""

    reason: str
    zh: str
    en: str


class DeviceCauses:
    """By device key. Written by the store's thread, read by any."""

    def __init__(self, known: Mapping[str, DeviceCause] | None = None) -> None:
        self._causes: dict[str, DeviceCause] = dict(known or {})
        self._t: dict[str, int] = {}
        """Time of the newest row heard of a device, ns: rows of the backlog come later than newer
        ones."""
        self._changed: set[str] = set()

    def take_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Health rows of devices, `device` being the key."""
        for row in rows:
            key = row["device"]
            t = row["t"]
            if t < self._t.get(key, t):
                continue
            self._t[key] = t
            found = _cause_in(row)
            if found != self._causes.get(key):
                self._changed.add(key)
                if found is None:
                    self._causes.pop(key, None)
                else:
                    self._causes[key] = found

    def sentence(self, key: str, reason: str) -> tuple[str, str] | None:
        """(zh, en) behind a device's present reason; None where nothing more exact is known than
        the reason."""
        found = self._causes.get(key)
        return (found.zh, found.en) if found is not None and found.reason == reason else None

    def take_changes(self) -> dict[str, DeviceCause | None]:
        """What the store lacks; None for a device about which there is nothing to be kept."""
        changed = self._changed
        self._changed = set()
        return {key: self._causes.get(key) for key in changed}

    def put_back(self, changes: Iterable[str]) -> None:
        """Undo `take_changes` after a write that failed."""
        self._changed.update(changes)


def _cause_in(row: Mapping[str, Any]) -> DeviceCause | None:
    """The cause that a health row tells; None for a device that is well, or of which no more than
    the reason is said."""
    reason = row.get("reason") or ""
    said = row.get("transition") or row.get("cause") or {}
    if not reason or not said.get("zh") or not said.get("en"):
        return None
    return DeviceCause(reason, said["zh"], said["en"])
