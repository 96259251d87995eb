"""`confirm: store`: what the ingest says the store has, whether the ingest lives, and what must be
sent again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

log = logging.getLogger(__name__)

Pairs = list[tuple[int, int]]

LIFE_S = 20.0
"""A watermark comes at least every 10 s; twice that without one, and nobody is there."""
OVERDUE_S = 30.0
SILENT_S = 60.0
LACKING_S = 120.0
"""Twice within this time something had to be sent again: that is no chance."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """What the ingest says the store has."""

    streams: Mapping[str, Pairs]
    """What the store has of them."""
    store: str = ""
    """The store's own id; empty from an ingest that knows none."""
    births: tuple[str, ...] = ()
    """Devices whose birth documents it lacks."""


def parse(payload: bytes) -> Watermark | None:
    """A watermark document; None when it is none."""
    try:
        document: Any = orjson.loads(payload)
        streams = {
            str(stream): [_pair(pair) for pair in pairs]
            for stream, pairs in document["streams"].items()
        }
        store = document.get("store", "")
        births = document.get("births", [])
        if not isinstance(store, str) or not isinstance(births, list):
            raise ValueError("store is no text, or births no list")
        return Watermark(streams, store, tuple(filter(_is_text, births)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("watermark-not-understood reason=%s", error)
        return None


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _pair(pair: Any) -> tuple[int, int]:
    first, last = pair
    if type(first) is not int or type(last) is not int or not 1 <= first <= last:
        raise ValueError(f"no interval: {pair}")
    return first, last


class ConfirmationWatch:
    """Judges by the arrival of watermarks. All times are the caller's monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._started = now
        self._life_at: float | None = None
        self._alive_since: float | None = None
        self._suspects: Mapping[str, Pairs] = {}
        self._suspected_at = now
        self._again = (-LACKING_S, -LACKING_S)

    def life(self, now: float) -> None:
        """A watermark arrived that was not merely kept by the broker."""
        if not self.alive(now):
            self._alive_since = now
        self._life_at = now

    def alive(self, now: float) -> bool:
        """Whether there is an ingest at work."""
        return self._life_at is not None and now - self._life_at < LIFE_S

    def silent(self, now: float) -> bool:
        """Whether there has been none for a minute: a finding of the health report."""
        return now - (self._started if self._life_at is None else self._life_at) >= SILENT_S

    def sent_again(self, now: float) -> None:
        """Something was overdue, and has been handed out once more; of several streams at once it
        is one time."""
        if now - self._again[1] >= 1.0:
            self._again = (self._again[1], now)

    def lacks_entries(self, now: float) -> bool:
        """Whether sending again did not help: a live ingest still lacks what the broker
        acknowledges."""
        return now - self._again[0] < LACKING_S

    def overdue(self, now: float, awaiting: Mapping[str, Pairs]) -> Mapping[str, Pairs]:
        """Of what waits for its confirmation, that which already did 30 s ago while an ingest was
        alive all the time.

        The caller intersects with what still waits (a confirmation may have come in between).
        """
        if (
            not self.alive(now)
            or self._alive_since is None
            or self._alive_since > self._suspected_at
        ):
            self._suspects = awaiting
            self._suspected_at = now
            return {}
        if now - self._suspected_at < OVERDUE_S:
            return {}
        due = self._suspects
        self._suspects = awaiting
        self._suspected_at = now
        return due
