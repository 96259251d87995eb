"""How far counters rise from one reading to the next: counted by hour and size, for what they make
possible later.

Sizes are told in eighths of a doubling. A rise that is taken back at once, or that takes a fall
back, is no step. Past hours are kept with the runs (`counts`); of the others the samples are
asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final

from edge_agent.stores.base import STEP_SIZES, DaySteps
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.duckdb import runs
from edge_agent.stores.duckdb.loads import IntegratedSeries, mark
from edge_agent.stores.duckdb.read import Cursor

_DAY_NS: Final = 24 * HOUR_NS
_STEPS: Final = f"""
select sid, hour, floor({STEP_SIZES} * log2(rise))::smallint as size, count(*) as n from (
    select sid, t - t % $hour as hour, num - lag(num) over w as rise,
        coalesce(lag(num) over w >= lag(num, 2) over w, true)
        and coalesce(lead(num) over w >= num, true) as plain
    from samples
    where t >= $from and t < $to and sid in (select unnest($sids)) and num is not null
    and status < 2147483648
    window w as (partition by sid, t - t % $hour order by t))
where rise > 0 and plain group by all"""  # noqa: S608 - an integer of ours

_KEPT: Final = """
select sid, t, size, n from steps where t >= $from and t < $to and t in (select unnest($hours))
    and sid in (select unnest($sids))"""


def keep(connection: Cursor, counters: Sequence[IntegratedSeries], hour: int) -> None:
    """Keep one hour, in the transaction that is open."""
    connection.execute("delete from steps where t = ?", [hour])
    if counters:
        values = {
            "from": hour,
            "to": hour + HOUR_NS,
            "hour": HOUR_NS,
            "sids": [each.sid for each in counters],
        }
        rows = f"insert into steps select hour, sid, size, n from ({_STEPS})"  # noqa: S608 - a query of ours
        connection.execute(rows, values)


def by_day(
    cursor: Cursor, sids: Sequence[int], from_ns: int, to_ns: int
) -> dict[int, dict[int, DaySteps]]:
    """Series -> day (ns of its start) -> its steps."""
    hours = runs.compacted(cursor, [mark(sid) for sid in sids], from_ns, to_ns)
    rows: list[tuple[int, int, int, int]] = []
    if hours:
        values = {"from": hours[0], "to": hours[-1] + 1, "hours": hours, "sids": list(sids)}
        rows += cursor.execute(_KEPT, values).fetchall()
    for first, last in runs.uncovered_spans(hours, from_ns, to_ns):
        values = {"from": first, "to": last, "hour": HOUR_NS, "sids": list(sids)}
        rows += cursor.execute(_STEPS, values).fetchall()
    found: dict[int, dict[int, DaySteps]] = {}
    by_hour: dict[tuple[int, int], int] = {}
    for sid, hour, size, number in rows:
        day = found.setdefault(sid, {}).setdefault(hour // _DAY_NS * _DAY_NS, DaySteps())
        day.sizes[size] = day.sizes.get(size, 0) + number
        by_hour[sid, hour] = by_hour.get((sid, hour), 0) + number
        day.busiest = max(day.busiest, by_hour[sid, hour])
    return found


class StepDays:
    """Days that were asked for, kept until something is written into them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._days: dict[int, dict[int, DaySteps | None]] = {}

    def get(
        self, cursor: Cursor, sids: Sequence[int], first: int, last: int
    ) -> dict[int, dict[int, DaySteps]]:
        """Of the days (ns of their starts) from `first` up to, not including, `last`."""
        days = range(first, last, _DAY_NS)
        with self._lock:
            missing = [day for day in days if not self._days.get(day, {}).keys() >= set(sids)]
        found = by_day(cursor, sids, missing[0], missing[-1] + _DAY_NS) if missing else {}
        answer: dict[int, dict[int, DaySteps]] = {sid: {} for sid in sids}
        with self._lock:
            for day in missing:
                self._days.setdefault(day, {}).update(
                    (sid, found.get(sid, {}).get(day)) for sid in sids
                )
            for day in days:
                for sid in sids:
                    if (steps := self._days.get(day, {}).get(sid)) is not None:
                        answer[sid][day] = steps
        return answer

    def written(self, hours: Iterable[int]) -> None:
        """Something came into these hours."""
        with self._lock:
            for hour in hours:
                self._days.pop(hour // _DAY_NS * _DAY_NS, None)
