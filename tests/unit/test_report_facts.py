"""From long series to facts: nothing that a figure rests on is lost when they are thinned."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.metrics.counters import CounterRule, count
from edge_agent.production import thinning
from edge_agent.production.facts import MINUTE_NS
from edge_agent.production.roles import counters_of
from edge_agent.production.states import SILENT, TagChanges, states
from edge_agent.stores import HealthSummary, SampleRuns
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.remote.store import RemoteStore

pytestmark = pytest.mark.slow

SECOND = 1_000_000_000
NONE = TagChanges.of([])


def test_states_hold_only_while_something_vouches_for_them() -> None:
    items = [[10, 3, ""], [50, None, "BadTimeout"], [60, 2, ""], [80, 9, ""]]
    rows = states(
        TagChanges.of(items), TagChanges.of([[10, 3, ""]]), None, [(20, 70), (75, 100)], 0, 100
    )
    told = [(row.t, row.item, row.why) for row in rows]
    assert told == [
        (0, 0, SILENT),
        (20, 3, ""),
        (50, 0, "BadTimeout"),
        (60, 2, ""),
        (70, 0, SILENT),
        (75, 2, ""),
        (80, 0, "unknown-state"),
    ]
    assert [row.mode for row in rows] == [0, 3, 3, 3, 0, 3, 3]


def test_an_order_is_there_as_last_told() -> None:
    orders = TagChanges.of([[30, 1, ""], [40, None, "Bad"], [60, 0, ""]])
    rows = states(TagChanges.of([[0, 3, ""]]), NONE, orders, [(0, 100)], 0, 100)
    assert [(row.t, row.order) for row in rows] == [(0, False), (30, True), (60, False)]


def test_without_readings_everything_is_unknown() -> None:
    assert [(row.t, row.item) for row in states(NONE, NONE, None, [(0, 100)], 0, 100)] == [(0, 0)]
    assert [
        (row.t, row.item) for row in states(TagChanges.of([[0, 3, ""]]), NONE, None, [], 0, 100)
    ] == [(0, 0)]


readings = st.lists(st.integers(0, 300), min_size=1, max_size=60)


@given(readings, st.integers(1, 90))
def test_a_thinned_counter_counts_the_same(values: list[int], every: int) -> None:
    t = np.arange(len(values), dtype=np.int64) * every * SECOND
    number = np.array(values, np.float64)
    kept = np.flatnonzero(thinning.deciding_readings(t, number))
    rule = CounterRule(restarts=True)
    whole = count([(int(t[i]), values[i]) for i in range(len(values))], rule)
    thin = count([(int(t[i]), values[i]) for i in kept], rule)
    assert thin.total == whole.total
    assert [event.kind for event in thin.events] == [event.kind for event in whole.events]
    assert len(kept) <= len(values)


@given(readings, st.integers(1, 20))
def test_a_thinned_counter_is_off_by_less_than_a_minutes_count(
    values: list[int], every: int
) -> None:
    rising = np.cumsum(np.array(values, np.float64))
    t = np.arange(len(values), dtype=np.int64) * every * SECOND
    kept = np.flatnonzero(thinning.deciding_readings(t, rising))
    whole = count([(int(t[i]), float(rising[i])) for i in range(len(t))])
    thin = count([(int(t[i]), float(rising[i])) for i in kept])
    for edge in (int(t[-1]) // 3, int(t[-1]) // 2):
        near = whole.between(edge - MINUTE_NS, edge + MINUTE_NS)
        assert abs(thin.between(0, edge) - whole.between(0, edge)) <= near


def test_a_counter_is_kept_around_changes_of_state() -> None:
    t = np.arange(0, 50, dtype=np.int64) * SECOND
    kept = np.flatnonzero(
        thinning.deciding_readings(t, t.astype(np.float64), np.array([20 * SECOND + 1]))
    )
    assert {20, 21} <= set(kept.tolist())
    assert len(kept) < 8


def test_readings_of_runs_are_their_ends() -> None:
    runs = SampleRuns(np.array([0, 10, 20]), np.array([5, 10, 30]), np.array([1.0, np.nan, 2.0]),
                   np.array([0, 0x80000000, 0x40000000], np.uint32))  # fmt: skip
    t, value = thinning.counter_readings(runs)
    assert (t.tolist(), value.tolist()) == ([0, 5, 20, 30], [1.0, 1.0, 2.0, 2.0])


class Remote(RemoteStore):
    """A server that knows one row of health every 40 s but for a long silence."""

    def __init__(self) -> None:
        self.rows = [*range(40, 400, 40), *range(7200, 7400, 40)]
        self.asked = 0
        self.catalogue = Catalogue()

    _send = samples_of = evidence_rows = health_rows = last_of = None  # type: ignore[assignment]
    holds_data = store_ids = None  # type: ignore[assignment]

    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        self.asked += 1
        inside = [t for t in self.rows if from_ns < t * SECOND <= to_ns]
        count = len(inside)
        last = max(inside, default=0) * SECOND
        row = HealthSummary(
            40.0 * count, 40.0 * count, 1, 1, count, 0, 1, 0, 0, last, last, "online", "", None
        )
        return {"m1": [row]} if inside else {}


def test_health_by_minute_of_a_server_that_only_sums() -> None:
    store = Remote()
    found = store.health_by(0, 7400 * SECOND, MINUTE_NS)["m1"]
    ends = [end // SECOND for end, _ in found]
    assert ends == sorted({-(-t // 60) * 60 for t in store.rows})
    assert sum(row.good for _, row in found) == len(store.rows)
    assert store.asked < 60  # of 124 minutes, most of them silent


def test_the_sums_of_the_minutes_are_rows_of_integers() -> None:
    store = Remote()
    rows = store.health_sums(0, 7400 * SECOND, MINUTE_NS)["m1"]
    summaries = store.health_by(0, 7400 * SECOND, MINUTE_NS)["m1"]
    assert rows[:, 0].tolist() == [end for end, _ in summaries]
    assert rows[:, 2].tolist() == [round(1000 * row.covered_s) for _, row in summaries]
    assert rows[:, -1].tolist() == [row.last_good_t for _, row in summaries]


def test_roles_by_name_and_unit() -> None:
    tags = {
        "parts_total": {},
        "part_count": {},
        "parts_ng": {},
        "import": {"unit": "Wh"},
        "power": {"unit": "W"},
        "sum": {"unit": "kWh"},
    }
    assert counters_of(tags) == [
        ("produced", "parts_total", Fraction(1)),
        ("scrap", "parts_ng", Fraction(1)),
        ("energy", "import", Fraction(1, 1000)),
        ("integrated_power", "power", Fraction(1, 1000)),
    ]
    assert counters_of({"power": {"unit": "%"}, "energy": {"unit": "J"}}) == []
