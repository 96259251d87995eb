"""A store service after years: what it writes, reads and holds does not grow with what is over.
Counted, not timed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.app.status.missing import recent_report
from edge_agent.app.status.recent_health import RecentHealth
from edge_agent.ingest.stream_marks import IDLE_S, StreamMarks
from edge_agent.intervals import IntervalSet
from edge_agent.stores import Rows, StreamMark, WriteBatch
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.duckdb import marks, write
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.remote.sidecar import Sidecar
from tests.support.exploration import examples

pytestmark = pytest.mark.slow

S = 1_000_000_000
T0 = 1_763_899_200 * S


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDbStore]:
    with closing(DuckDbStore(tmp_path / "s.duckdb")) as opened:
        yield opened


def batch(*found: tuple[str, int]) -> WriteBatch:
    return WriteBatch(Rows.empty(), T0, marks=[StreamMark(stream, seq, 1) for stream, seq in found])


def test_joining_marks_writes_the_streams_that_changed_and_no_others(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(batch(*((f"over-{place}/0/1", seq) for place in range(300) for seq in (1, 2))))
    written: list[int] = []

    def counted(connection: Any, rows: Any) -> None:
        written.append(len(rows))
        plain(connection, rows)

    plain = write.marks
    monkeypatch.setattr(write, "marks", counted)
    monkeypatch.setattr(marks, "JOIN_ROWS", 20)
    for seq in range(1, 60):
        store.write(batch(("live-1/0/1", seq), ("live-2/0/1", seq)))
    assert max(written[2:]) <= 4, "nothing of what is over"
    assert store.marks(["live-1/0/1", "never"]) == {"live-1/0/1": IntervalSet([(1, 59)])}
    rows = "select count(*) from marks where stream like 'over%'"
    assert store._connection.execute(rows).fetchall() == [(300,)], (
        "a stream that is over is one row"
    )
    assert store.incomplete_marks().keys() <= {"live-1/0/1", "live-2/0/1"}
    assert store.counts().stored == 600 + 118


def test_a_stream_full_of_holes_is_not_rewritten_with_every_few_rows(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[int] = []
    plain = marks._join

    def counted(connection: Any, streams: Any) -> int:
        joined.append(plain(connection, streams))
        return joined[-1]

    monkeypatch.setattr(marks, "_join", counted)
    monkeypatch.setattr(marks, "JOIN_ROWS", 8)
    for seq in range(0, 400, 2):
        store.write(batch(("holes/0/1", seq)))
    assert sum(joined) <= 3 * 200, "each row is rewritten a few times"


PAIRS = st.lists(st.tuples(st.sampled_from(["a/0/1", "b/0/1"]), st.integers(1, 30)), max_size=12)


@settings(max_examples=examples(20), deadline=None)
@given(batches=st.lists(PAIRS, max_size=6))
def test_a_sidecar_joins_what_touches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Any]
) -> None:
    wanted: dict[str, IntervalSet] = {}
    with closing(Sidecar(tmp_path_factory.mktemp("s") / "s.sqlite")) as sidecar:
        sidecar.use("one", "http://a", adopt=False)
        for pairs in batches:
            sidecar.save(batch(*pairs), Catalogue(), {})
            for stream, seq in pairs:
                wanted.setdefault(stream, IntervalSet()).add(seq)
        assert sidecar.marks() == wanted
        rows = sidecar.query("select count(*) from store_marks")[0][0]
        assert rows == sum(len(found.pairs()) for found in wanted.values())
        whole = {
            stream
            for stream, found in wanted.items()
            if len(found.pairs()) == 1 and found.pairs()[0][0] == 1
        }
        assert sidecar.incomplete_marks() == {key: wanted[key] for key in wanted.keys() - whole}


def test_a_sidecar_asks_as_little_beside_many_streams_as_beside_none(tmp_path: Path) -> None:
    asked: list[int] = []
    with closing(Sidecar(tmp_path / "s.sqlite")) as sidecar:
        sidecar.use("one", "http://a", adopt=False)
        for place in range(2):
            statements: list[str] = []
            sidecar._db.set_trace_callback(statements.append)
            sidecar.save(batch(("live/0/1", place + 1)), Catalogue(), {})
            sidecar._db.set_trace_callback(None)
            asked.append(len(statements))
            sidecar.save(
                batch(*((f"over-{each}/0/1", seq) for each in range(200) for seq in (1, 2, 4))),
                Catalogue(),
                {},
            )
    assert asked[1] <= asked[0] + 1


def test_streams_that_are_silent_leave_memory_and_are_looked_up_again() -> None:
    known = StreamMarks()
    known.learn({"a", "b", "c"}, {"a": IntervalSet([(1, 5)])}, 0.0)
    known.add("b", 1, IDLE_S)
    known.drop_idle(IDLE_S + 1, {"c"})
    known.add("a", 6, IDLE_S)
    assert known.unknown(["a", "b", "c"]) == {"a"}, (
        "half of what the store has would be taken for all of it"
    )
    known.learn({"a", "b"}, {"a": IntervalSet([(1, 5)]), "b": IntervalSet()}, IDLE_S)
    assert known.has("a", 5)
    assert known.has("b", 1), "what was learned meanwhile is newer than what the store said"


def test_what_is_missing_of_a_day_asks_the_store_for_no_health(
    store: DuckDbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    recent = RecentHealth(15 * S)
    for _ in recent.read_past(store, T0):
        assert not recent.complete
    rows = [
        {
            "device": f"m{place}",
            "t": T0 + second * S,
            "covered_s": 5.0,
            "state": "online",
            "reason": "",
        }
        for place in range(50)
        for second in range(5, 605, 5)
    ]
    recent.take(rows, T0 + 605 * S)
    for question in ("health", "health_by", "health_sums", "silences", "transitions", "marks"):
        monkeypatch.setattr(DuckDbStore, question, lambda *_: pytest.fail("asked for it"))
    found = recent_report(store, recent, T0, T0 + 605 * S, [f"m{place}" for place in range(50)])
    assert found["outages"] == []
    covered = [(row["covered_s"], row["window_s"]) for row in found["covered"].values()]
    assert covered == [(595.0, 595.0)] * 50, "from the first row to the last"
