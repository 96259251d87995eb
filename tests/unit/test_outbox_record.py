"""The bytes of a segment: what was written is read back, and nothing else is ever taken for a
record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox.record import (
    MARKER,
    Damage,
    OutboxEntry,
    RecordHead,
    claimed_size,
    entry_of,
    head_at,
    scan,
)
from edge_agent.outbox.segment import RecordInMemory

pytestmark = pytest.mark.slow

ENTRIES = st.builds(
    OutboxEntry,
    stream=st.text(min_size=1, max_size=20),
    seq=st.integers(1, 2**64 - 1),
    topic=st.text(max_size=30),
    payload=st.binary(max_size=200),
    t=st.integers(-(2**63), 2**63 - 1),
    values=st.integers(0, 2**32 - 1),
)


def bytes_of(entry: OutboxEntry) -> bytes:
    return RecordInMemory.of(entry).prefix + entry.payload


def read_all(raw: bytes) -> tuple[list[OutboxEntry], list[Damage]]:
    found = list(scan(raw, 0, len(raw)))
    heads = [f for f in found if isinstance(f, RecordHead)]
    return [entry_of(h, raw[h.offset : h.offset + h.size]) for h in heads], [
        f for f in found if isinstance(f, Damage)
    ]


@given(st.lists(ENTRIES, max_size=6))
def test_round_trip(entries: list[OutboxEntry]) -> None:
    assert read_all(b"".join(map(bytes_of, entries))) == (entries, [])


@given(st.lists(ENTRIES, min_size=3, max_size=6), st.data())
def test_damage_costs_only_the_records_it_touches(
    entries: list[OutboxEntry], data: st.DataObject
) -> None:
    records = [bytes_of(entry) for entry in entries]
    raw = bytearray(b"".join(records))
    start = data.draw(st.integers(0, len(raw) - 1))
    flips = data.draw(st.binary(min_size=1, max_size=16).filter(any))
    end = min(len(raw), start + len(flips))
    raw[start:end] = bytes(a ^ b for a, b in zip(raw[start:end], flips, strict=False))
    bounds = [sum(map(len, records[:i])) for i in range(len(records) + 1)]
    hit = {
        i
        for i in range(len(records))
        for p in range(max(start, bounds[i]), min(end, bounds[i + 1]))
        if flips[p - start]
    }
    found, _ = read_all(bytes(raw))
    assert [e for e in found if e in entries] == found, "an altered record was taken for a good one"
    assert found == [entry for i, entry in enumerate(entries) if i not in hit]


@given(ENTRIES)
def test_every_truncation_of_a_record_is_no_record(entry: OutboxEntry) -> None:
    raw = bytes_of(entry)
    for end in range(len(raw)):
        assert head_at(raw[:end], 0) is None
        assert end < len(MARKER) or claimed_size(raw[:end]) > end


@given(st.binary(max_size=300))
def test_any_bytes_can_be_scanned(raw: bytes) -> None:
    covered = [
        (f.offset, f.offset + f.size) if isinstance(f, RecordHead) else (f.start, f.end)
        for f in scan(raw, 0, len(raw))
    ]
    assert [start for start, _ in covered] == [0, *[end for _, end in covered]][: len(covered)]
    assert (covered[-1][1] if covered else 0) == len(raw)


@pytest.mark.parametrize("text", ["", "温度", "a" * 100, "\U0010ffff"])
def test_the_marker_never_occurs_in_utf8_text(text: str) -> None:
    assert not set(MARKER[:3]) & set(text.encode())
