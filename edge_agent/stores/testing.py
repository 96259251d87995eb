"""Whether a store keeps what the contract says: suites for pytest, for stores of third parties and
our own.

    from edge_agent.stores.sdk import StoreEngine
    from edge_agent.stores.testing import EngineConformance, opened_engine

    class TestMyStore(EngineConformance):
        def open_engine(self, folder: Path) -> StoreEngine:
            return opened_engine(PLUGIN, {"database": "test"}, folder / "store")

What opens a store is called several times for one folder: the store is then there again. Two
folders are two stores. A check that fails is named after what the store does not keep.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, overload

import numpy as np
import orjson

from edge_agent.config.models import Retention
from edge_agent.config.store_plugins import store_model
from edge_agent.errors import StoreError
from edge_agent.stores.base import StreamMark, WriteBatch
from edge_agent.stores.columns import ARRAY, EXACT, INT, KIND_OF, NO_TIME, Chunk, Rows
from edge_agent.stores.engine.store import EngineStore
from edge_agent.stores.protocols import Store
from edge_agent.stores.registers import RegisterVersion
from edge_agent.stores.rollups import HOUR_NS, LATE_NS
from edge_agent.stores.sdk import (
    ANY_TIME,
    DocumentKey,
    StoreChanges,
    StoredDocument,
    StoreEngine,
    StoreOptions,
    StorePlugin,
)

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
#: A full hour, some hours ago: servers refuse what is too old.
T0: Final = (time.time_ns() // HOUR_NS - 6) * HOUR_NS
#: Values are to be kept for so many days by a store that deletes by age.
DAYS: Final = 10.0
AGENT: Final = "ipc-01"
STREAM: Final = "ipc-01/0/9f3c"

#: Values of every kind; three readings each.
VALUES: Final[Mapping[str, Sequence[Any]]] = {
    "主轴转速 (rpm)": [8000.5, -0.25, 0.0],
    "count": [1, 2**31, -7],
    "running": [True, False, True],
    "program": ["O1000.NC", "", 'a "b" \\c, d=e f\n次'],
    "axes": [[1.5, 2.5], [1, 2], ["x", "y, z"]],
    "mixed": [1, 2.5, "three"],
    "nothing": [None, 1.0, None],
}
T = TypeVar("T")


def opened_engine(plugin: StorePlugin[Any], options: Mapping[str, Any], path: Path) -> StoreEngine:
    """The database of a plug-in, its options validated as those of a configuration file are."""
    keys = {"kind": plugin.name, "path": path, **options}
    section = store_model(plugin).model_validate(keys)
    if not isinstance(section, plugin.options) or not isinstance(section, StoreOptions):
        raise TypeError(f"the options of {plugin.name} are no StoreOptions")
    return plugin.open(section, path)


def samples_at(
    store: Store, t: int, values: Mapping[str, Any], device: str = "m1", **more: Any
) -> Chunk:
    """One message of a device; `more`: the columns `status` and `source` of `Chunk`."""
    sids = store.catalogue.ids(device, tuple(values))
    numbers: list[float] = []
    kinds: list[int] = []
    texts: dict[int, str] = {}
    for place, value in enumerate(values.values()):
        kind = KIND_OF[type(value)]
        kinds.append(kind)
        is_number = isinstance(value, int | float)
        numbers.append(float(value) if is_number else np.nan)
        if isinstance(value, str):
            texts[place] = value
        elif kind == ARRAY:
            texts[place] = orjson.dumps(value).decode()
        elif kind == INT and abs(value) >= EXACT:
            texts[place] = str(value)
    return Chunk(sids, t, np.array(numbers), np.array(kinds, np.uint8), texts=texts, **more)


def health_row(t: int, device: str = "m1", **fields: Any) -> dict[str, Any]:
    """Five seconds of a device that is well."""
    counts = {"due": 5, "done": 5, "good": 10, "bad": 0, "values": 10, "overruns": 0}
    row = {"device": device, "t": t, "scheduled_s": 5.0, "covered_s": 5.0, **counts}
    return row | {"state": "online", "reason": "", "last_good_t": t} | fields


class StoreConformance(ABC):
    """What every store keeps."""

    deletes_by_age: ClassVar[bool] = True
    """False: the server has a retention of its own."""

    @abstractmethod
    def open_store(self, folder: Path) -> Store:
        """The store of a folder, opened for the agent AGENT and keeping DAYS days; made if it is
        not there."""

    def show(self) -> None:  # noqa: B027 - most stores show at once what was written
        """Have what was written be seen by queries."""

    def _opened(self, folder: Path) -> closing[Store]:
        store = self.open_store(folder)
        store.identify()
        return closing(store)

    def _write(self, store: Store, *chunks: Chunk, stored: int = T0, **more: Any) -> None:
        batch = WriteBatch(Rows.of(chunks), stored, **more)
        assert store.check(batch) == [], "a sample that any store can take is refused"
        store.write(batch)
        self.show()

    def _times(self, store: Store, tag: str, first: int, last: int) -> list[int]:
        got: list[int] = store.samples("m1", tag, first, last).t.tolist()
        return got

    # --- samples ----------------------------------------------------------------------------------

    def test_values_of_every_kind_read_back_equal(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            chunks = []
            for place in range(3):
                values = {tag: column[place] for tag, column in VALUES.items()}
                chunks.append(samples_at(store, T0 + place * SECOND, values))
            self._write(store, *chunks)
            for tag, expected in VALUES.items():
                got = store.samples("m1", tag, T0, T0 + 10 * SECOND).values()
                assert got == expected, tag
                assert [type(value) for value in got] == [type(value) for value in expected], tag

    def test_status_source_and_store_time_read_back(self, tmp_path: Path) -> None:
        source = np.array([T0 - 5 * SECOND, NO_TIME], np.int64)
        status = np.array([0x40900000, 0x800A0000], np.uint32)
        with self._opened(tmp_path) as store:
            chunk = samples_at(store, T0, {"a": 1, "b": None}, status=status, source=source)
            self._write(store, chunk, stored=T0 + 7 * SECOND)
            for tag, code, made in zip("ab", status.tolist(), source.tolist(), strict=True):
                got = store.samples("m1", tag, T0, T0 + SECOND)
                assert got.status.tolist() == [code]
                assert np.allclose(got.source, made, rtol=0, atol=1000)
                assert np.allclose(got.stored, T0 + 7 * SECOND, rtol=0, atol=1000)

    def test_samples_are_sorted_and_the_end_of_a_window_is_not_in_it(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            for place in (5, 1, 3, 2, 4):  # late ones come after newer ones
                self._write(store, samples_at(store, T0 + place * SECOND, {"x": float(place)}))
            times = [T0 + place * SECOND for place in range(1, 6)]
            assert self._times(store, "x", T0, T0 + 10 * SECOND) == times
            assert self._times(store, "x", times[1], times[3]) == times[1:3]
            assert self._times(store, "y", T0, T0 + 10 * SECOND) == []
            assert store.last_before(("m1", "x"), T0, times[2]) == times[1]
            assert store.last_before(("m1", "x"), T0, times[0]) is None

    def test_devices_of_two_agents_share_no_series(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            self._write(
                store,
                samples_at(store, T0, {"x": 1.0}),
                samples_at(store, T0, {"x": 2.0}, device="ipc-02:m1"),
            )
            for device, value in (("m1", 1.0), ("ipc-02:m1", 2.0)):
                assert store.samples(device, "x", T0, T0 + SECOND).values() == [value]

    def test_the_newest_sample_is_the_latest_one_also_after_a_restart(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            for place in (1, 3, 2):
                self._write(store, samples_at(store, T0 + place * SECOND, {"x": place, "s": "a"}))
            self._write(store, samples_at(store, T0 + 4 * SECOND, {"s": "次"}))
            self._expect_latest(store)
        with self._opened(tmp_path) as store:
            self._expect_latest(store)

    def _expect_latest(self, store: Store) -> None:
        number, text = store.latest_of("m1", "x"), store.latest_of("m1", "s")
        assert number is not None
        assert text is not None
        assert (number.value, number.t, text.value) == (3, T0 + 3 * SECOND, "次")
        assert store.latest()["m1"].keys() == {"x", "s"}
        assert store.readings(T0 + 4 * SECOND)["m1"].tags == 2
        assert store.latest_of("m1", "y") is None

    # --- marks ------------------------------------------------------------------------------------

    def test_marks_stand_beside_their_data_and_join(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            for number in (1, 2, 5, 3, 9, 4):
                chunk = samples_at(store, T0 + number * SECOND, {"x": float(number)})
                self._write(store, chunk, marks=[StreamMark(STREAM, number, 1)])
            self._expect_marks(store)
        with self._opened(tmp_path) as store:
            self._expect_marks(store)

    def _expect_marks(self, store: Store) -> None:
        pairs = {stream: list(marks.pairs()) for stream, marks in store.marks().items()}
        assert pairs == {STREAM: [(1, 5), (9, 9)]}
        assert store.marks([STREAM]).keys() == {STREAM}
        assert not any(store.marks(["other/0/1"]).values())
        assert store.incomplete_marks().keys() == {STREAM}
        assert store.counts().stored == 6
        assert len(self._times(store, "x", T0, T0 + 10 * SECOND)) == 6

    def test_a_batch_that_comes_again_is_marked_once(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            for _ in range(2):
                marks = [StreamMark(STREAM, 1, 0)]
                self._write(store, health=[health_row(T0)], marks=marks)
            assert list(store.marks()[STREAM].pairs()) == [(1, 1)]
            assert store.health(T0 - SECOND, T0)["m1"].good == 10, "a health row counts once"

    def test_quarantined_values_are_counted(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            marks = [StreamMark(STREAM, 1, 0)]
            self._write(store, marks=marks, quarantined={"bad-value": 3})
        with self._opened(tmp_path) as store:
            assert store.counts().quarantined == 3

    # --- health -----------------------------------------------------------------------------------

    def test_health_rows_add_up(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            rows = [health_row(T0 + 5 * place * SECOND) for place in range(1, 13)]
            rows[-1] |= {"state": "offline", "reason": "timeout", "covered_s": 0.0}
            self._write(store, health=rows)
            end = T0 + 60 * SECOND
            found = store.health(T0, end)["m1"]
            assert (found.scheduled_s, found.covered_s, found.good) == (60.0, 55.0, 120)
            assert (found.state, found.first_t, found.last_t) == ("offline", rows[0]["t"], end)
            assert store.health(T0, end - 5 * SECOND)["m1"].state == "online"
            assert store.health(T0 - 60 * SECOND, T0) == {}, (
                "a row belongs to the window it ends in"
            )
            assert store.health_totals(T0, end)["m1"].good == 120
            steps = store.health_sums(T0, end, 60 * SECOND)["m1"]
            assert steps[:, :3].tolist() == [[end, 60_000, 55_000]]
            assert store.evidence(T0, end)["m1"] == [(T0, end - 5 * SECOND)]
            assert store.live_facts(T0, end)["m1"].first_ns == rows[0]["t"]

    def test_a_hole_between_health_rows_is_a_silence(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            times = [T0 + 5 * SECOND, T0 + 10 * SECOND, T0 + 100 * SECOND]
            self._write(store, health=[health_row(t) for t in times])
            (found,) = store.silences(T0, T0 + 200 * SECOND, 30 * SECOND)["m1"]
            assert (found.since, found.until) == (times[1], times[2])

    def test_past_hours_of_health_are_rolled_up_to_the_same(self, tmp_path: Path) -> None:
        end = T0 + HOUR_NS
        now = end + 2 * LATE_NS
        with self._opened(tmp_path) as store:
            rows = [health_row(T0 + 60 * place * SECOND) for place in range(1, 61)]
            self._write(store, health=rows, stored=end)
            before = store.health_totals(T0, end)
            hours = store.read_open_hours(now, 1000)
            assert end in [each.hour for each in hours]
            assert store.keep_hours(hours) == len(hours)
            assert store.health_totals(T0, end) == before
            late = health_row(T0 + 90 * SECOND, good=1)
            self._write(store, health=[late], stored=now)
            assert store.health_totals(T0, end)["m1"].good == before["m1"].good + 1
        with self._opened(tmp_path) as store:
            assert store.health_totals(T0, end)["m1"].good == before["m1"].good + 1

    def test_transitions_and_gaps_read_back(self, tmp_path: Path) -> None:
        move = {"from": "online", "to": "offline", "reason": "t", "zh": "断", "en": "off"}
        gap = {
            "stream": STREAM, "from_seq": 3, "to_seq": 4, "from_t": T0, "to_t": T0 + 1,
            "values": 2, "acknowledged": 0, "reason": "full",
        }  # fmt: skip
        with self._opened(tmp_path) as store:
            row = health_row(T0, state="offline", transition=move)
            agents = [{"device": AGENT, "t": T0, "gap": gap}]
            self._write(store, health=[row], agents=agents)
            (found,) = store.transitions(T0 - 1, T0)
            assert {"t": T0, "device": "m1", **move}.items() <= found.items()
            (lost,) = store.gaps(T0 - 1, T0)
            assert {"t": T0, "agent": AGENT, "stream": STREAM, "values": 2}.items() <= lost.items()
            assert store.transitions(T0, T0 + SECOND) == []

    # --- what was computed ------------------------------------------------------------------------

    def test_results_and_registers_read_back(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            for t, value in ((T0, 0.5), (T0 + SECOND, 0.75)):
                store.put_metric("M-01", t, {"id": "M-01", "value": value})
            for valid, kept in ((T0, T0), (T0 + DAY, T0 + 1)):
                store.keep_register(RegisterVersion(f"v{kept}", valid, kept), f"text {kept}")
        with self._opened(tmp_path) as store:
            assert store.metrics() == [{"id": "M-01", "value": 0.75}]
            assert store.metrics(T0, T0 + 1) == [{"id": "M-01", "value": 0.5}]
            assert store.newest_metric(T0, T0 + DAY) == T0 + SECOND
            versions = store.register_versions()
            assert [each.valid_from for each in versions] == [T0, T0 + DAY]
            assert store.register_document(versions[1].version) == f"text {T0 + 1}"
            assert store.register_document("unknown") is None

    # --- the life of a store ----------------------------------------------------------------------

    def test_a_store_is_the_same_after_a_restart(self, tmp_path: Path) -> None:
        birth = {"device": "m1", "t": T0, "tags": {"x": {"type": "float", "unit": "rpm"}}}
        with self._opened(tmp_path / "a") as store:
            store.catalogue.born(birth)
            self._write(store, samples_at(store, T0, {"x": 1.0}))
            changed = {"x": {"type": "float", "unit": "Hz"}}
            store.catalogue.born(birth | {"t": T0 + SECOND, "tags": changed})
            self._write(store, samples_at(store, T0 + SECOND, {"y": 1.0}))
            store.forget((AGENT, "m1", "y"), T0 + 2 * SECOND)
            name = store.store_id
        with self._opened(tmp_path / "a") as store:
            assert store.store_id == name
            assert not store.recheck()
            assert store.misplaced() is None
            series = {entry.tag: entry.meta for entry in store.catalogue.series}
            assert series.keys() == {"x", "y"}
            assert orjson.loads(series["x"])["unit"] == "Hz"
            assert store.catalogue.definitions.former_units() == {
                store.catalogue.find("m1", "x"): ["rpm"]
            }
            assert not store.catalogue.forgotten.lists(AGENT, "m1", "y")
            self._write(store, samples_at(store, T0 + 3 * SECOND, {"x": 2.0}))
            assert store.samples("m1", "x", T0, T0 + DAY).values() == [1.0, 2.0]

    def test_two_stores_have_two_ids(self, tmp_path: Path) -> None:
        with self._opened(tmp_path / "a") as one, self._opened(tmp_path / "b") as other:
            assert one.store_id
            assert one.store_id != other.store_id

    def test_rows_older_than_the_retention_are_deleted(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            for t in (T0, T0 + SECOND):
                self._write(store, samples_at(store, t, {"x": 1.0}), health=[health_row(t)])
            later = T0 + int(DAYS * DAY) + SECOND
            assert store.retain(T0 + DAY) == 0
            gone = store.retain(later)
            self.show()
            left = self._times(store, "x", T0, later)
            assert (gone, len(left)) == ((1, 1) if self.deletes_by_age else (0, 2))

    def test_reading_is_safe_while_another_thread_writes(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store, ThreadPoolExecutor(2) as threads:
            self._write(store, samples_at(store, T0, {"x": 0.0}))
            asked = [threads.submit(store.samples, "m1", "x", T0, T0 + DAY) for _ in range(20)]
            for place in range(1, 20):
                self._write(store, samples_at(store, T0 + place * SECOND, {"x": float(place)}))
            for each in asked:
                times = each.result().t.tolist()
                assert times == sorted(times)
                assert times[0] == T0

    def test_closing_twice_does_nothing_more(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        store.close()
        store.close()


class _Breaks(Sequence[T]):
    """A sequence that fails after its items: so does a database in the middle of a commit."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...

    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        return self._items[place]

    def __iter__(self) -> Iterator[T]:
        yield from self._items
        raise StoreError("planted: the commit fails here")


class EngineConformance(StoreConformance):
    """What a `StoreEngine` keeps besides."""

    @abstractmethod
    def open_engine(self, folder: Path) -> StoreEngine:
        """The database of a folder; made if it is not there."""

    def open_store(self, folder: Path) -> Store:
        """Over the engine."""
        return EngineStore(self.open_engine(folder), Retention(days=DAYS), AGENT)

    def test_a_commit_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        with self._opened(tmp_path) as store:
            rows = Rows.of([samples_at(store, T0, {"x": 1.0})])
        kept = StoredDocument("t", "kept", 0, "before")
        new = StoredDocument("t", "new", 0, "after")
        gone = DocumentKey("t", "kept", 0)
        with closing(self.open_engine(tmp_path)) as engine:
            engine.commit(StoreChanges(Rows.empty(), T0, (), (kept,)))
            for changes in (
                StoreChanges(rows, T0, (gone,), _Breaks([new])),
                StoreChanges(rows, T0, _Breaks([gone]), (new,)),
            ):
                self._expect_failure(engine, changes)
                self._expect_as_before(engine, kept)
        with closing(self.open_engine(tmp_path)) as engine:
            self._expect_as_before(engine, kept)
            engine.commit(StoreChanges(rows, T0, (gone,), (new,)))
            assert engine.documents("t") == [new]
            assert len(engine.samples(0, *ANY_TIME)) == 1

    def _expect_failure(self, engine: StoreEngine, changes: StoreChanges) -> None:
        allowed: tuple[type[Exception], ...] = (StoreError, *engine.errors)
        failed = False
        try:
            engine.commit(changes)
        except allowed:
            failed = True
        assert failed, "a commit that could not be read to its end was taken"

    def _expect_as_before(self, engine: StoreEngine, kept: StoredDocument) -> None:
        assert engine.documents("t") == [kept], "a commit that failed left documents"
        assert len(engine.samples(0, *ANY_TIME)) == 0, "a commit that failed left samples"

    def test_a_document_takes_the_place_of_the_former(self, tmp_path: Path) -> None:
        with closing(self.open_engine(tmp_path)) as engine:
            for text in ("one", "two"):
                put = [StoredDocument("t", key, t, text) for key in ("b", "a") for t in (2, 1)]
                engine.commit(StoreChanges(Rows.empty(), T0, (), put))
            found = engine.documents("t")
            assert [(row.t, row.key) for row in found] == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
            assert {row.text for row in found} == {"two"}
            assert [row.t for row in engine.documents("t", 1, 2)] == [1, 1]
            assert engine.documents("other") == []
            engine.commit(StoreChanges(Rows.empty(), T0, (DocumentKey("t", "no", 1),)))

    def test_a_document_may_go_and_come_in_one_commit(self, tmp_path: Path) -> None:
        kept = StoredDocument("t", "a", 1, "new")
        with closing(self.open_engine(tmp_path)) as engine:
            engine.commit(StoreChanges(Rows.empty(), T0, (), (kept._replace(text="old"),)))
            engine.commit(StoreChanges(Rows.empty(), T0, (DocumentKey("t", "a", 1),), (kept,)))
            assert engine.documents("t") == [kept]

    def test_documents_age_by_table(self, tmp_path: Path) -> None:
        with closing(self.open_engine(tmp_path)) as engine:
            put = [StoredDocument(table, "k", t, "") for table in "ab" for t in (0, 1, 2)]
            engine.commit(StoreChanges(Rows.empty(), T0, (), put))
            assert engine.delete_before(0, {"a": 2}) == 0
            assert [row.t for row in engine.documents("a")] == [2]
            assert [row.t for row in engine.documents("b")] == [0, 1, 2]
