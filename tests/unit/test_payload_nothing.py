"""Nothing is never good: no null travels under a code that is not bad, and no reader takes one for
a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from edge_agent.errors import DeviceError
from edge_agent.model import STATUS, Batch, Tag, TagTable, is_bad
from edge_agent.payload import data_tail
from edge_agent.stores.columns import FLOAT, NO_TIME, NONE, Samples, bad_where_null

TRANSFERRED = 0x002D0000
"""GoodSubscriptionTransferred."""
TABLE = TagTable("d", 1.0, tuple(Tag(name, "any", None) for name in ("a", "b", "c")))


def document(values: list[Any], status: dict[int, int] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(b"{" + data_tail(Batch(TABLE, 1, values, status))[1:])
    return found


@pytest.mark.parametrize("code", [None, TRANSFERRED, 0x40000000, 0x00000480])
def test_a_null_under_a_code_that_is_not_bad_is_bad_on_the_wire(code: int | None) -> None:
    found = document([1.5, None, "null"], None if code is None else {1: code})
    assert found["values"] == {"a": 1.5, "c": "null"}
    assert found["quality"]["b"].startswith("Bad")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [1.0, float("nan")], [[float("-inf")]]]
)
def test_what_is_no_number_is_bad_on_the_wire(value: Any) -> None:
    found = document([value, 2.5, [1, 2]])
    assert found["values"] == {"b": 2.5, "c": [1, 2]}
    assert found["quality"] == {"a": "BadSensorFailure"}


def test_a_text_that_says_null_is_a_text() -> None:
    assert document(["null", "a: null", ["null"]])["values"] == {
        "a": "null",
        "b": "a: null",
        "c": ["null"],
    }
    assert "quality" not in document(["null", 1, True])


@pytest.mark.parametrize("code", [0, TRANSFERRED, 0x40000000])
def test_a_failure_is_never_good(code: int) -> None:
    assert is_bad(DeviceError(code, "gone").status)
    assert all(map(is_bad, Batch.failed(TABLE, 1, code).status.values()))
    assert DeviceError(STATUS["BadTimeout"], "silent").status == STATUS["BadTimeout"]


def test_a_stored_row_without_a_value_is_bad_whatever_its_code() -> None:
    kind = np.array([NONE, FLOAT, NONE, NONE], np.uint8)
    status = np.array([TRANSFERRED, TRANSFERRED, 0x800A0000, 0], np.uint32)
    assert bad_where_null(kind, status).tolist() == [
        0x80000000,
        TRANSFERRED,
        0x800A0000,
        0x80000000,
    ]
    column = np.zeros(4, np.int64)
    samples = Samples(
        column, np.full(4, np.nan), kind, status, column + NO_TIME, column, [None] * 4
    )
    assert [bool(code & 0x80000000) for code in samples.status.tolist()] == [
        True,
        False,
        True,
        True,
    ]


def test_an_older_agents_null_under_a_good_code_is_stored_as_bad(tmp_path: Path) -> None:
    from edge_agent.ingest.decode import data
    from edge_agent.stores.catalogue import Catalogue

    told = {"device": "d", "t": 5, "values": {"a": None, "b": 1.5}, "quality": {"a": "0x002D0000"}}
    chunk = data(told, Catalogue())
    assert chunk.status is not None
    assert chunk.status.tolist() == [0x80000000, 0]
