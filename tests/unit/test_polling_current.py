"""The newest value of each tag, whichever batches brought them."""

from __future__ import annotations

from typing import Any

from edge_agent.model import GOOD, STATUS, Batch, Tag, TagTable
from edge_agent.polling.current import CurrentValues

TABLE = TagTable("d", 1.0, tuple(Tag(name, "float", None) for name in "abc"))
WAITING, TIMEOUT = STATUS["BadWaitingForInitialData"], STATUS["BadTimeout"]


def now(current: CurrentValues) -> list[tuple[Any, int, float | None]]:
    """Value, status, and the monotonic second of each tag."""
    return [(one.value, one.status, one.stamp and one.stamp[1]) for one in current.of(TABLE)]


def test_before_the_first_reading_every_tag_waits() -> None:
    assert now(CurrentValues()) == [(None, WAITING, None)] * 3


def test_a_whole_batch_is_kept_as_it_is() -> None:
    current, batch = CurrentValues(), Batch(TABLE, 7, [1.0, None, 3.0], {1: TIMEOUT})
    current.keep(batch, 1.0)
    assert now(current) == [(1.0, GOOD, 1.0), (None, TIMEOUT, 1.0), (3.0, GOOD, 1.0)]
    assert next(current.of(TABLE)).stamp == (7, 1.0)
    current.keep(Batch(TABLE, 8, [4.0, 5.0, 6.0]), 2.0)
    assert now(current) == [(4.0, GOOD, 2.0), (5.0, GOOD, 2.0), (6.0, GOOD, 2.0)]


def test_tags_that_report_one_by_one_keep_their_own_times_and_qualities() -> None:
    current = CurrentValues()
    current.keep(Batch(TABLE, 1, [2.0], None, None, [1]), 1.0)
    assert now(current) == [(None, WAITING, None), (2.0, GOOD, 1.0), (None, WAITING, None)]
    current.keep(Batch(TABLE, 2, [None, 3.0], {0: TIMEOUT}, None, [1, 2]), 2.0)
    assert now(current) == [(None, WAITING, None), (None, TIMEOUT, 2.0), (3.0, GOOD, 2.0)]
    current.keep(Batch(TABLE, 3, [1.0, 2.5], None, None, [0, 1]), 3.0)
    assert now(current) == [(1.0, GOOD, 3.0), (2.5, GOOD, 3.0), (3.0, GOOD, 2.0)]


def test_whole_and_partial_batches_may_come_in_turn() -> None:
    current = CurrentValues()
    first = Batch(TABLE, 1, [1.0, 2.0, 3.0])
    current.keep(first, 1.0)
    current.keep(Batch(TABLE, 2, [9.0], None, None, [2]), 2.0)
    assert first.values == [1.0, 2.0, 3.0], "what was handed on is not changed"
    assert now(current) == [(1.0, GOOD, 1.0), (2.0, GOOD, 1.0), (9.0, GOOD, 2.0)]
    current.keep(Batch.failed(TABLE, 3, TIMEOUT), 3.0)
    assert now(current) == [(None, TIMEOUT, 3.0)] * 3
    current.keep(Batch(TABLE, 4, [1.5], None, None, [0]), 4.0)
    assert now(current) == [(1.5, GOOD, 4.0), (None, TIMEOUT, 3.0), (None, TIMEOUT, 3.0)]
