"""Powers of past hours, kept as what they add up to at full minutes, and where the state or the
evidence changed.

Between these moments a total is straight, and figures never ask in between: a window that does not
begin with a full hour is read from the samples there. Kept, marked and forgotten together with the
runs of the hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_agent.stores.base import LOOKBACK_NS
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.columns import Floats, Longs
from edge_agent.stores.duckdb.read import Cursor, plain
from edge_agent.stores.duckdb.runs import LAST, compacted, fetched, split, uncovered_spans
from edge_agent.stores.duckdb.write import append
from edge_agent.stores.evidence import Span
from edge_agent.stores.stretch_integrals import StretchIntegral, StretchTotals, joined, piece

_MINUTE_NS: Final = 60_000_000_000
_DAY_NS: Final = 24 * HOUR_NS
#: Series read at a time: an hour of them at ten readings a second is some fifty megabytes.
_AT_ONCE: Final = 50

_READ: Final = """
select sid, t, num, status from samples where t >= $from and t < $to
    and sid in (select unnest($sids))"""

_KEPT: Final = """
select sid, t, moment, used, rate from loads
where t >= $from and t < $to and t in (select unnest($hours)) and sid in (select unnest($sids))"""

_LAST_KEPT: Final = """
select sid, max(moment) last, arg_max(rate, moment) rate from loads
where t >= $from and t < $to and t in (select unnest($hours))
    and sid in (select unnest($sids)) and rate is not null
group by sid"""


@dataclass(frozen=True, slots=True)
class IntegratedSeries:
    """A power or a counter, and the series at whose changes it is told."""

    sid: int
    cuts: tuple[int, ...]
    devices: tuple[str, ...]
    """Those at whose evidence it is told too."""

    def moments(self, changes: Mapping[int, Longs], edges: Mapping[str, Longs]) -> list[Longs]:
        """When it is told."""
        return [
            *(changes[cut] for cut in self.cuts if cut in changes),
            *(edges[device] for device in self.devices if device in edges),
        ]


def mark(sid: int) -> int:
    """What stands in `compacted` for a series that is not kept as all its runs."""
    return -2 - sid


def keep(
    connection: Cursor,
    loads: Sequence[IntegratedSeries],
    hour: int,
    changes: Mapping[int, Longs],
    edges: Mapping[str, Longs],
) -> None:
    """Keep one hour, in the transaction that is open: `cuts` and `edges` have told of it."""
    connection.execute("delete from loads where t = ?", [hour])
    if not loads:
        return
    minutes = np.arange(hour, hour + HOUR_NS, _MINUTE_NS)
    for start in range(0, len(loads), _AT_ONCE):
        chosen = {load.sid: load for load in loads[start : start + _AT_ONCE]}
        found = []
        for sid, whole in _pieces(connection, list(chosen), hour, hour + HOUR_NS):
            load = chosen[sid]
            found.append((sid, whole.cut(np.concatenate([minutes, *load.moments(changes, edges)]))))
        _insert(connection, hour, found)


def _insert(connection: Cursor, hour: int, found: Sequence[tuple[int, StretchIntegral]]) -> None:
    if not found:
        return
    sizes = [len(cut.at) for _, cut in found]
    rate = np.full(sum(sizes), np.nan)
    rate[np.cumsum(sizes) - 1] = [cut.rate for _, cut in found]
    append(connection, "loads", {
        "t": np.full(len(rate), hour, np.int64),
        "sid": np.repeat(np.array([sid for sid, _ in found], np.int32), sizes),
        "moment": np.concatenate([cut.at for _, cut in found]),
        "used": np.concatenate([cut.used for _, cut in found]),
        "rate": np.ma.masked_array(rate, np.isnan(rate)),
    })  # fmt: skip


def cuts(cursor: Cursor, sids: Sequence[int], hour: int) -> dict[int, Longs]:
    """Series -> when it changed in the hour, whose runs are made already."""
    query = (
        "select sid, first from runs where t = $hour and sid in (select unnest($sids)) order by sid"
    )
    got = fetched(cursor, query, hour=hour, sids=sorted(set(sids)))
    return split(plain(got["sid"], 0), plain(got["first"], 0))


def edges(evidence: Mapping[str, Sequence[Span]]) -> dict[str, Longs]:
    """Device -> where its evidence began or ended."""
    return {device: np.array(spans, np.int64).reshape(-1) for device, spans in evidence.items()}


def _pieces(
    cursor: Cursor, sids: Sequence[int], first: int, last: int
) -> Iterator[tuple[int, StretchIntegral]]:
    """From the samples of a stretch."""
    got = fetched(cursor, _READ, **{"from": first, "to": last, "sids": list(sids)})
    sid = plain(got["sid"], 0)
    t = plain(got["t"], 0)
    order = np.lexsort((t, sid))
    number, status = (
        plain(got["num"], np.nan)[order],
        plain(got["status"], 0)[order].astype(np.uint32),
    )
    for each, places in split(sid[order], np.arange(len(order))).items():
        found = piece(t[order][places], number[places], status[places], last)
        if found is not None:
            yield each, found


def energy(cursor: Cursor, moments: Mapping[int, Longs]) -> dict[int, Floats]:
    """Series -> unit-hours from the first of its moments to each; series of equal bounds are read
    together."""
    found: dict[int, Floats] = {}
    together: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for sid, asked in moments.items():
        together[int(asked[0]), int(asked[-1])].append(sid)
    for (first, last), sids in together.items():
        found |= _energy(cursor, {sid: moments[sid] for sid in sids}, first, last)
    return found


def _energy(
    cursor: Cursor, moments: Mapping[int, Longs], first: int, last: int
) -> dict[int, Floats]:
    sids = list(moments)
    lead = _lead(cursor, sids, first)
    adding = {sid: StretchTotals(asked, lead.get(sid)) for sid, asked in moments.items()}
    for start, end, hours in _stretches(
        compacted(cursor, [mark(sid) for sid in sids], first, last), first, last
    ):
        source = (
            _read_kept_totals(cursor, sids, hours) if hours else _pieces(cursor, sids, start, end)
        )
        found = dict(source)
        for sid, each in adding.items():
            each.add(found.get(sid), end)
    return {sid: each.total for sid, each in adding.items() if each.seen}


def _stretches(hours: Sequence[int], first: int, last: int) -> Iterator[tuple[int, int, list[int]]]:
    """The window in order of time: kept hours as long as they adjoin, and the rest at most a day at
    a time."""
    gaps = [(start, end) for start, end in uncovered_spans(hours, first, last) if start < end]
    kept: list[list[int]] = []
    for hour in hours:
        if kept and kept[-1][-1] + HOUR_NS == hour:
            kept[-1].append(hour)
        else:
            kept.append([hour])
    days: list[tuple[int, int, list[int]]] = [
        (a, min(a + _DAY_NS, end), []) for start, end in gaps for a in range(start, end, _DAY_NS)
    ]
    yield from sorted([*days, *((run[0], run[-1] + HOUR_NS, run) for run in kept)])


def _read_kept_totals(
    cursor: Cursor, sids: Sequence[int], hours: Sequence[int]
) -> Iterator[tuple[int, StretchIntegral]]:
    bounds = {"from": hours[0], "to": hours[-1] + HOUR_NS}
    got = fetched(cursor, _KEPT, **bounds, hours=list(hours), sids=list(sids))
    sid, t, at = (plain(got[name], 0) for name in ("sid", "t", "moment"))
    # An hour's last moment is the next one's first, hence the hour before the moment.
    order = np.lexsort((at, t, sid))
    at = at[order]
    used = plain(got["used"], 0.0)[order]
    rate = plain(got["rate"], np.nan)[order]
    for each, places in split(sid[order], np.arange(len(order))).items():
        yield each, joined(at[places], used[places], rate[places])


def _lead(cursor: Cursor, sids: Sequence[int], from_ns: int) -> dict[int, float]:
    """Series -> what held at `from_ns`, from the nearest stretch that has a reading."""
    start = from_ns - LOOKBACK_NS
    hours = compacted(cursor, [mark(sid) for sid in sids], start, from_ns)
    best: dict[int, tuple[int, float]] = {}
    if hours:
        bounds = {"from": hours[0], "to": hours[-1] + HOUR_NS}
        got = fetched(cursor, _LAST_KEPT, **bounds, hours=hours, sids=list(sids))
        columns = (
            plain(got["sid"], 0).tolist(),
            plain(got["last"], 0).tolist(),
            plain(got["rate"], 0.0).tolist(),
        )
        # A reading of the next hour may have the very time this hour ends with, and counts before
        # it.
        best = {sid: (last - 1, rate) for sid, last, rate in zip(*columns, strict=True)}
    for first, last in reversed(uncovered_spans(hours, start, from_ns)):
        missing = [sid for sid in sids if sid not in best or best[sid][0] < first]
        if not missing:
            break
        got = fetched(cursor, LAST, **{"from": first, "to": last, "sids": missing})
        for sid, t, reading in zip(
            plain(got["sid"], 0).tolist(), plain(got["last"], 0).tolist(), got["s"], strict=True
        ):
            bad = reading["num"] is None or reading["status"] & 0x80000000
            best[sid] = (t, 0.0 if bad else reading["num"])
    return {sid: rate for sid, (_, rate) in best.items()}
