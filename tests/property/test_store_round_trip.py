"""Whatever a payload may hold reads back equal from the embedded store, under its own tag."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ingest import decode
from edge_agent.names import fault
from edge_agent.stores import Rows, StreamMark, WriteBatch
from edge_agent.stores.base import merged
from edge_agent.stores.columns import Chunk
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.newest_samples import NewestSamples

NAMES = st.text(
    st.characters(blacklist_categories=("C", "Z"), blacklist_characters="\\"),
    min_size=1,
    max_size=12,
)
NAMES = NAMES.filter(lambda name: fault(name) is None)
ITEMS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=20),
)
VALUES = st.one_of(ITEMS, st.lists(ITEMS, max_size=4))
DOCUMENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), min_size=1, max_size=5)


def same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDbStore]:
    with closing(DuckDbStore(tmp_path_factory.mktemp("store") / "s.duckdb")) as opened:
        yield opened


DEVICES = itertools.count()


@given(documents=DOCUMENTS)
def test_values_read_back_equal(store: DuckDbStore, documents: list[dict[str, Any]]) -> None:
    device = f"设备 {next(DEVICES)}"
    chunks = []
    for t, values in enumerate(documents):
        payload = orjson.dumps({"v": 1, "device": device, "t": t, "values": values})
        chunks.append(decode.data(orjson.loads(payload), store.catalogue))
    store.write(WriteBatch(Rows.of(chunks), 5))
    live = store.latest(device).get(device, {})
    for tag in {tag for values in documents for tag in values}:
        expected = [(t, values[tag]) for t, values in enumerate(documents) if tag in values]
        got = store.samples(device, tag, 0, 10)
        assert got.t.tolist() == [t for t, _ in expected]
        assert all(map(same, got.values(), [value for _, value in expected]))
        assert same(live[tag].value, expected[-1][1])


def test_newest_samples_survive_a_restart(tmp_path: Path) -> None:
    values = {"n": 1.5, "b": True, "text": "文", "array": [1, "x"], "big": 2**63, "int": 3}
    for closed in (True, False):
        path = tmp_path / f"{closed}.duckdb"
        first = DuckDbStore(path)
        for t in (1, 3, 2):
            document = {
                "device": "m1",
                "t": t,
                "values": {**values, "n": t},
                "quality": {"dead": "BadTimeout"},
            }
            first.write(WriteBatch(Rows.of([decode.data(document, first.catalogue)]), 10 + t))
        live = first.latest()
        assert live["m1"]["n"].value == 3
        first.close() if closed else first._connection.close()
        with closing(DuckDbStore(path)) as second:
            assert second.latest() == live


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), st.floats(-9, 9)), max_size=30)


@given(st.lists(ROWS, max_size=4))
def test_newest_is_the_last_of_the_newest_times(
    batches: list[list[tuple[int, int, float]]],
) -> None:
    newest, model = NewestSamples(), {}
    for batch in batches:
        kinds = np.full(1, 3, np.uint8)
        chunks = [Chunk(np.array([sid], np.int32), t, np.array([x]), kinds) for sid, t, x in batch]
        newest.update(Rows.of(chunks))
        for sid, t, number in batch:
            if sid not in model or t >= model[sid][0]:
                model[sid] = (t, number)
    rows = newest.rows()
    got = dict(
        zip(rows.sid.tolist(), zip(rows.t.tolist(), rows.num.tolist(), strict=True), strict=True)
    )
    assert got == model


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 9)),
        unique_by=lambda m: m[:2],
    )
)
def test_merged_marks_cover_the_same_numbers_and_values(marks: list[tuple[str, int, int]]) -> None:
    rows = merged([StreamMark(*mark) for mark in marks])
    covered = {(stream, seq) for stream, first, last, _ in rows for seq in range(first, last + 1)}
    assert covered == {(stream, seq) for stream, seq, _ in marks}
    for name in "ab":
        assert sum(v for s, _, _, v in rows if s == name) == sum(
            v for s, _, v in marks if s == name
        )


@given(ROWS, st.sets(st.integers(0, 40)))
def test_rows_without(batch: list[tuple[int, int, float]], gone: set[int]) -> None:
    kinds = np.full(1, 4, np.uint8)
    chunks = [
        Chunk(np.array([s], np.int32), t, np.array([x]), kinds, texts={0: f"{x}"})
        for s, t, x in batch
    ]
    gone = {row for row in gone if row < len(batch)}
    rows = Rows.of(chunks).without(gone)
    kept = [item for row, item in enumerate(batch) if row not in gone]
    assert list(zip(rows.sid.tolist(), rows.t.tolist(), rows.num.tolist(), strict=True)) == kept
    assert rows.texts == {row: f"{item[2]}" for row, item in enumerate(kept)}
