"""From decoded records to the columns of batches: quality, kinds, queued values."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from connectors.opcua.binary import UNSUPPORTED, DecodeError, time_text
from connectors.opcua.columns import Columns
from connectors.opcua.monitored_table import MonitoredTable
from connectors.opcua.options import OpcuaTag
from connectors.opcua.values import ValueShape
from edge_agent.sdk import STATUS, Batch, Kind, Tag, TagTable

MISMATCH, EMPTY, STRANGE = (
    STATUS["BadTypeMismatch"],
    STATUS["BadWaitingForInitialData"],
    STATUS["BadDecodingError"],
)


def table(*kinds: Kind) -> TagTable:
    return TagTable(
        "d", 1.0, tuple(Tag(f"t{at}", kind, OpcuaTag(node="i=1")) for at, kind in enumerate(kinds))
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected", "status"),
    [
        ("float", 1.5, 1.5, 0), ("float", 3, 3.0, 0), ("float", True, 1.0, 0), ("float", 2**53 + 1, None, MISMATCH),
        ("float", "1.5", None, MISMATCH), ("float", [1.5], None, MISMATCH),
        ("int", 7, 7, 0), ("int", 7.0, 7, 0), ("int", True, 1, 0), ("int", 7.5, None, MISMATCH),
        ("int", float("inf"), None, MISMATCH), ("int", float("nan"), None, MISMATCH), ("int", "7", None, MISMATCH),
        ("bool", True, True, 0), ("bool", 1, True, 0), ("bool", 0.0, False, 0), ("bool", 2, None, MISMATCH),
        ("text", "a", "a", 0), ("text", 7, "7", 0), ("text", True, "true", 0), ("text", [], None, MISMATCH),
        ("array", [1, 2], [1, 2], 0), ("array", 1, None, MISMATCH),
        ("float", None, None, EMPTY), ("text", None, None, EMPTY), ("float", UNSUPPORTED, None, STRANGE),
    ],
)  # fmt: skip
def test_opcua_values_fit_their_tags_or_are_bad(
    kind: Kind, value: Any, expected: Any, status: int
) -> None:
    values, codes = [value], {}
    ValueShape(table(kind)).coerce(values, codes)
    assert (values, type(values[0]), codes) == (
        [expected],
        type(expected),
        {0: status} if status else {},
    )


@pytest.mark.parametrize(
    ("code", "value", "kept"),
    [
        (0x00300000, 1.5, None), (0x00000480, 1.5, None), (0x40900000, 1.5, 0x40900000), (0x40900480, 1.5, 0x40900480),
        (0x80340000, None, 0x80340000), (0x808C0480, None, 0x808C0480), (0xC0000000, None, 0xC0000000),
    ],
)  # fmt: skip
def test_opcua_status_is_kept_in_full_where_it_is_not_good(
    code: int, value: float | None, kept: int | None
) -> None:
    values: list[Any] = [1.5, 2.5]
    status = {0: code}
    ValueShape(table("float", "float")).coerce(values, status)
    assert (values, status) == ([value, 2.5], {} if kept is None else {0: kept})


def test_opcua_a_bad_value_of_another_type_keeps_the_servers_reason() -> None:
    values: list[Any] = ["text", None]
    status = {0: 0x808C0000, 1: 0x80310000}
    ValueShape(table("float", "float")).coerce(values, status)
    assert (values, status) == ([None, None], {0: 0x808C0000, 1: 0x80310000})


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "1601-01-01T00:00:00Z"), (-5, "1601-01-01T00:00:00Z"), (116_444_736_000_000_000, "1970-01-01T00:00:00Z"),
        (116_444_736_000_000_019, "1970-01-01T00:00:00.000001Z"), (2**63 - 1, "9999-12-31T23:59:59Z"),
    ],
)  # fmt: skip
def test_opcua_times_as_text(ticks: int, text: str) -> None:
    assert time_text(ticks) == text


def feed(*kinds: Kind) -> MonitoredTable:
    return MonitoredTable(table(*kinds))


def changes(handles: list[int], values: list[Any], status: dict[int, int] | None = None) -> Columns:
    return Columns(values, status or {}, list(range(100, 100 + len(values))), handles)


def rows(batch: Batch) -> tuple[Any, ...]:
    return batch.columns, batch.values, batch.status, batch.source, batch.t


def test_opcua_a_message_with_every_tag_is_a_batch_of_the_whole_table() -> None:
    (batch,) = feed("float", "float").batches(changes([0, 1], [1.5, 2.5]), 9)
    assert rows(batch) == (None, [1.5, 2.5], {}, [100, 101], 9)


def test_opcua_a_message_with_some_tags_names_their_columns() -> None:
    (batch,) = feed("float", "int", "text").batches(changes([2, 0], ["a", 1], {0: 0x80000000}), 9)
    assert rows(batch) == ([2, 0], [None, 1.0], {0: 0x80000000}, [100, 101], 9)


def test_opcua_queued_values_of_a_tag_come_in_order_and_with_distinct_times() -> None:
    message = changes([0, 1, 0, 0, 1], [1.0, 10, 2.0, 3.0, 11], {2: 0x40900000, 4: 0x80000000})
    batches = feed("float", "int").batches(message, 9)
    assert [rows(batch) for batch in batches] == [
        ([0, 1], [1.0, 10], {}, [100, 101], 9),
        ([0, 1], [2.0, None], {0: 0x40900000, 1: 0x80000000}, [102, 104], 10),
        ([0], [3.0], {}, [103], 11),
    ]


def test_opcua_an_empty_message_is_no_batch() -> None:
    assert feed("float").batches(changes([], []), 9) == []


def test_opcua_a_handle_that_is_not_ours_is_refused() -> None:
    with pytest.raises(DecodeError):
        feed("float").batches(changes([1], [1.0], {0: 0x480}), 9)


def test_opcua_an_overflow_of_the_servers_queue_is_counted_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = feed("float", "float")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            (batch,) = one.batches(changes([0, 1], [1.0, 2.0], {0: 0x480, 1: 0x40900000}), 9)
            assert batch.status == {1: 0x40900000}
    assert one.overflows == {0: 3}
    assert [record.getMessage() for record in caplog.records] == [
        "opcua-queue-overflow device=d tag=t0"
    ]
