"""Past hours of the embedded store as runs, loads and counters: which are kept, and keeping the
next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import duckdb

from edge_agent.stores.base import Name
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.duckdb import counts, loads, runs, steps
from edge_agent.stores.evidence import REACH_NS, Span

Connection = duckdb.DuckDBPyConnection

#: After its end an hour waits so long for its last messages, and for the health rows that speak of
#: its end.
_LATE_NS: Final = REACH_NS + 60_000_000_000


class Compaction:
    """What is watched, and which hours (their starts, ns) are kept; belongs to the thread that
    writes."""

    def __init__(self, connection: Connection) -> None:
        self.kept = {
            int(t) for (t,) in connection.execute("select distinct t from compacted").fetchall()
        }
        self._watched: list[int] = []
        self._loads: list[loads.IntegratedSeries] = []
        self._counters: list[loads.IntegratedSeries] = []
        self._open: set[int] | None = None
        """Hours not kept as runs; None until `due` first asks."""

    def watch(
        self,
        catalogue: Catalogue,
        names: Sequence[Name],
        powers: Mapping[Name, Sequence[Name]],
        counters: Mapping[Name, Sequence[Name]],
    ) -> None:
        """As `FigureIndex.watch`."""
        self._watched = sorted({catalogue.sid(*name) for name in names})
        self._loads = [_load_of(catalogue, name, cuts, {name[0]}) for name, cuts in powers.items()]
        self._counters = [_load_of(catalogue, name, cuts, set()) for name, cuts in counters.items()]
        self._open = None

    @property
    def _apart(self) -> list[loads.IntegratedSeries]:
        return [*self._loads, *self._counters]

    @property
    def _marks(self) -> list[int]:
        return [*self._watched, *(loads.mark(load.sid) for load in self._apart)]

    def written_into(self, hours: Collection[int], late: Collection[int]) -> None:
        """A batch is in the file: its hours, and those that were kept and are so no more."""
        self.kept.difference_update(late)
        if self._open is not None:
            self._open |= {*hours, *late}

    def due(self, connection: Connection, now_ns: int, oldest_ns: int, most: int) -> list[int]:
        """Hours that are over and not kept, newest first: those are asked for most."""
        if not self._marks:
            return []
        if self._open is None:
            self._open = runs.hours_not_kept(connection, self._marks, oldest_ns)
        over = [hour for hour in self._open if hour + HOUR_NS + _LATE_NS <= now_ns]
        return sorted(over, reverse=True)[:most]

    def keep(
        self, connection: Connection, hour: int, evidence: Mapping[str, Sequence[Span]]
    ) -> None:
        """Keep an hour, in the transaction that is open; `note_committed` follows. `evidence`:
        spans of that hour."""
        runs.compact(connection, self._watched, hour)
        if self._apart:
            cuts = loads.cuts(connection, [sid for load in self._apart for sid in load.cuts], hour)
            edges = loads.edges(evidence)
            loads.keep(connection, self._loads, hour, cuts, edges)
            counts.keep(connection, self._counters, hour, cuts, edges)
            steps.keep(connection, self._counters, hour)
        runs.marked(connection, self._marks, hour)

    def note_committed(self, hour: int) -> None:
        """The transaction is in the file."""
        self.kept.add(hour)
        if self._open is not None:
            self._open.discard(hour)


def _load_of(
    catalogue: Catalogue, name: Name, cuts: Sequence[Name], devices: set[str]
) -> loads.IntegratedSeries:
    sid = catalogue.sid
    beside = tuple(sorted(devices.union(device for device, _ in cuts)))
    return loads.IntegratedSeries(sid(*name), tuple(sid(*cut) for cut in cuts), beside)
