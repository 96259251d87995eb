"""Where past values come from: the store itself, or the running service that owns it. Both answer
alike, in pages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import orjson

from edge_agent.app.status.ask import serve_socket
from edge_agent.config.models import Site
from edge_agent.control import client, server
from edge_agent.stores import open_store, require_local_file
from edge_agent.stores.columns import Codes, Floats, Longs
from edge_agent.stores.protocols import MonitoredStore
from edge_agent.stores.remote.http import bounded_wait

_SECOND: Final = 1_000_000_000
#: The first window of a series, and the longest: what lies ahead may be much denser than what was
#: read so far.
_FIRST: Final = 600 * _SECOND
_LONGEST: Final = 21_600 * _SECOND
#: Readings a page should have; so many signs of text weigh as much as a reading.
_PAGE_ROWS: Final = 50_000
_SIGNS: Final = 100
_ANSWER_S: Final = 120.0
#: How exact a store knows when its newest reading was, and more.
_MARGIN: Final = _SECOND


@dataclass(frozen=True, slots=True, eq=False)
class ReadingsPage:
    """Readings of one tag, sorted by time, aligned columns."""

    t: Longs
    num: Floats
    """NaN where the reading is no number; true is 1."""
    status: Codes
    values: Sequence[Any]
    """As they were read; None where there is none."""

    def __len__(self) -> int:
        return len(self.t)

    @property
    def weight(self) -> int:
        """What it takes of memory, in readings."""
        return (
            len(self.t)
            + sum(len(value) for value in self.values if isinstance(value, str)) // _SIGNS
        )


Series = Mapping[str, Mapping[str, Any]]
"""Tag -> its entry in the device's birth document; empty for one that came without."""


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """A device as the store knows it."""

    agent: str
    series: Series


class HistorySource(Protocol):
    """Past values. Raises FindingsError or StoreError when they cannot be had."""

    def devices(self) -> dict[str, StoredDevice]:
        """Every device with its series, by the name the store has for it."""

    def page(self, device: str, tag: str, from_ns: int, to_ns: int) -> ReadingsPage:
        """All readings in `from <= t < to`."""

    def newest(self, device: str, tag: str) -> int | None:
        """When the newest reading was made; None without any."""

    def any(self, device: str, tag: str, from_ns: int, to_ns: int) -> bool:
        """Whether there are readings in `from <= t < to`; it costs no memory, however many they
        are. A reading within a millisecond of either end may be overlooked."""

    def evidence(self, device: str, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """Spans in which the device's values are known to have been current."""


def pages(
    source: HistorySource,
    device: str,
    tag: str,
    from_ns: int,
    to_ns: int,
    seen: Callable[[int], None] | None = None,
) -> Iterator[ReadingsPage]:
    """All readings of `from <= t < to`, in pages of bounded size. `seen` is called with the number
    of readings of each page."""
    start = from_ns
    window = _FIRST
    while start < to_ns:
        end = min(to_ns, start + window)
        page = source.page(device, tag, start, end)
        if seen is not None:
            seen(len(page))
        if len(page):
            yield page
        if page.weight > _PAGE_ROWS:
            window = max(_SECOND, window // 4)
        elif page.weight < _PAGE_ROWS // 4:
            window = min(_LONGEST, window * 4)
        start = end
        if not len(page) and window == _LONGEST:
            start = _skip_empty_span(source, device, tag, end, to_ns - _LONGEST)


def _skip_empty_span(source: HistorySource, device: str, tag: str, start: int, to_ns: int) -> int:
    """A time before which there is no reading from `start` on, not later than `to_ns`: years
    without readings take some questions, not one for each page.

    What is newest stays for a page: a server may show it to such a question later than to others.
    """

    def empty(begin: int, end: int) -> bool:
        return not source.any(device, tag, begin - _MARGIN, end + _MARGIN)

    ahead = _LONGEST
    while start + ahead <= to_ns and empty(start, start + ahead):
        start += ahead
        ahead *= 2
    while ahead > _LONGEST:  # somewhere in what lies ahead there is one, or the end of the window
        ahead //= 2
        if start + ahead <= to_ns and empty(start, start + ahead):
            start += ahead
    return start


class StoreSource:
    """A store that this process has opened."""

    def __init__(self, store: MonitoredStore) -> None:
        self._store = store

    def devices(self) -> dict[str, StoredDevice]:
        found: dict[str, dict[str, Any]] = {}
        for entry in list(self._store.catalogue.series):
            found.setdefault(entry.device, {})[entry.tag] = (
                orjson.loads(entry.meta) if entry.meta else {}
            )
        agent = self._store.catalogue.keys.agent
        return {device: StoredDevice(agent(device), series) for device, series in found.items()}

    def page(self, device: str, tag: str, from_ns: int, to_ns: int) -> ReadingsPage:
        with bounded_wait():
            found = self._store.samples(device, tag, from_ns, to_ns)
        return ReadingsPage(found.t, found.num, found.status, found.values())

    def newest(self, device: str, tag: str) -> int | None:
        latest = self._store.latest(device).get(device, {}).get(tag)
        return None if latest is None else latest.t

    def any(self, device: str, tag: str, from_ns: int, to_ns: int) -> bool:
        with bounded_wait():
            return self._store.last_before((device, tag), from_ns, to_ns) is not None

    def evidence(self, device: str, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        self._store.ask_for_life()
        return self._store.evidence(from_ns, to_ns).get(device, [])


class ServedSource:
    """The running store service, asked through its socket. Raises ConnectionError when it does not
    run any more."""

    def __init__(self, door: Path) -> None:
        self._door = door

    def _ask(self, op: str, **arguments: Any) -> Any:
        return client.ask(self._door, op, limit=_ANSWER_S, **arguments)

    def devices(self) -> dict[str, StoredDevice]:
        found = self._ask("history_devices")
        return {
            device: StoredDevice(entry["agent"], entry["series"]) for device, entry in found.items()
        }

    def page(self, device: str, tag: str, from_ns: int, to_ns: int) -> ReadingsPage:
        found = self._ask("history_page", device=device, tag=tag, from_ns=from_ns, to_ns=to_ns)
        values = found["values"]
        return ReadingsPage(
            np.array(found["t"], np.int64),
            _numbers(values),
            np.array(found["status"], np.uint32),
            values,
        )

    def newest(self, device: str, tag: str) -> int | None:
        found: int | None = self._ask("history_newest", device=device, tag=tag)
        return found

    def any(self, device: str, tag: str, from_ns: int, to_ns: int) -> bool:
        found: bool = self._ask("history_any", device=device, tag=tag, from_ns=from_ns, to_ns=to_ns)
        return found

    def evidence(self, device: str, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        spans = self._ask("history_evidence", device=device, from_ns=from_ns, to_ns=to_ns)
        return [(begin, end) for begin, end in spans]


def _numbers(values: Sequence[Any]) -> Floats:
    return np.array(
        [float(value) if isinstance(value, int | float) else np.nan for value in values], np.float64
    )


def operations(store: MonitoredStore) -> dict[str, server.Operation]:
    """What `ServedSource` asks, answered by the process that owns the store."""
    source = StoreSource(store)

    def devices() -> dict[str, Any]:
        return {
            name: {"agent": device.agent, "series": device.series}
            for name, device in source.devices().items()
        }

    def page(device: str, tag: str, from_ns: int, to_ns: int) -> dict[str, Any]:
        found = source.page(device, tag, from_ns, to_ns)
        return {"t": found.t.tolist(), "status": found.status.tolist(), "values": found.values}

    return {
        "history_devices": devices,
        "history_page": page,
        "history_newest": source.newest,
        "history_any": source.any,
        "history_evidence": source.evidence,
    }


@contextlib.contextmanager
def opened(site: Site) -> Iterator[HistorySource]:
    """The running service where there is one, else the store itself. Raises FindingsError when
    there is no store."""
    door = serve_socket(site)
    if client.running(door):
        yield ServedSource(door)
        return
    require_local_file(site.store)
    store = open_store(site.store, site.agent.id, site.agents)
    try:
        yield StoreSource(store)
    finally:
        store.close()
