"""What counts as a document of ours, and what it becomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from edge_agent.ingest import messages
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import NO_TIME

TOPIC = "edge/e/s/area/line/m1/data"
GOOD: dict[str, Any] = {
    "v": 1,
    "device": "m1",
    "stream": "ipc/0/9f",
    "seq": 7,
    "ts": 1,
    "t": 1_000_001,
    "values": {},
}


def read(topic: str = TOPIC, **changes: Any) -> messages.IngestMessage:
    return messages.read(topic, orjson.dumps(GOOD | changes), Catalogue())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": 2}, "unknown version"),
        ({"v": None}, "unknown version"),
        ({"device": "m2"}, "the device is not the topic's"),
        ({"t": 1.5}, "t is not"),
        ({"t": -1}, "t is not"),
        ({"t": 2**63}, "t is not"),
        ({"seq": True}, "seq is not"),
        ({"stream": ""}, "stream is not a name"),
        ({"stream": "a\nb"}, "stream is not a name"),
        ({"values": []}, "values is not an object"),
        ({"values": {"a": {}}}, "a value is neither"),
        ({"values": {"a": [[1]]}}, "an array holds"),
        ({"values": {"": 1}}, "a tag has no name"),
        ({"quality": {"a": 3}}, "quality is not"),
        ({"quality": {"a": "NoSuchWord"}}, "quality is not"),
        ({"quality": {"a": "-1"}}, "quality is not"),
        ({"values": {"a": 1}, "source": {"a": 1.5}}, "a source time"),
        ({"values": {"a": 1}, "source": {"a": True}}, "a source time"),
    ],
)
def test_malformed_data_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    message = read(**changes)
    assert message.refused.startswith(reason)
    assert message.chunk is None


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"nul", b"[1]", b"1", b'{"v":1', b'{"v":1,"t":NaN}']
)
def test_not_json_is_refused(payload: bytes) -> None:
    assert messages.read(TOPIC, payload, Catalogue()).refused


def test_a_refused_entry_keeps_its_number_so_that_nobody_sends_it_again() -> None:
    message = read(v=9, values={"a": 1, "b": 2})
    assert (message.stream, message.seq, message.values) == ("ipc/0/9f", 7, 2)
    assert read(seq="x").stream == ""


def test_quality_and_source_are_aligned_with_the_values() -> None:
    message = read(
        values={"a": 1.5, "b": None, "c": "x"},
        quality={"a": "UncertainLastUsableValue", "dead": "BadTimeout", "odd": "0x80AB0000"},
        source={"c": 1_763_900_000_120, "a": 10**15},
    )
    chunk = message.chunk
    assert chunk is not None
    assert chunk.status is not None
    assert chunk.source is not None
    assert message.values == len(chunk) == 5
    assert chunk.kind.tolist() == [3, 0, 4, 0, 0]
    # A null without a reason is bad, never good.
    assert chunk.status.tolist() == [0x40900000, 0x80000000, 0, 0x800A0000, 0x80AB0000]
    assert chunk.source.tolist() == [
        (2**63 - 1) // 10**6 * 10**6,
        NO_TIME,
        1_763_900_000_120_000_000,
        NO_TIME,
        NO_TIME,
    ]
    assert chunk.texts == {2: "x"}


def test_good_numbers_need_no_status_and_no_texts() -> None:
    catalogue = Catalogue()
    payload = orjson.dumps(GOOD | {"values": {f"t{i}": i / 2 for i in range(100)}})
    first, second = (messages.read(TOPIC, payload, catalogue).chunk for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.status is None
    assert first.source is None
    assert first.texts == {}
    assert second.sid is first.sid, "the ids of a set of tags are made once"
    assert np.array_equal(first.num, np.arange(100) / 2)


def test_large_integers_keep_their_digits() -> None:
    chunk = read(values={"a": 2**64 - 1, "b": -(2**63), "c": 5, "d": 1e300}).chunk
    assert chunk is not None
    assert chunk.texts == {0: "18446744073709551615", 1: "-9223372036854775808"}


HEALTH = {
    "v": 1,
    "device": "m1",
    "stream": "s",
    "seq": 1,
    "t": 5,
    "due": 5,
    "scheduled_s": 5,
    "latency_ms": None,
    "state": "online",
    "last_good_t": None,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"due": 1.5},
        {"due": -1},
        {"scheduled_s": "5"},
        {"state": 1},
        {"last_good_t": 2.5},
        {"transition": {"to": 1}},
    ],
)
def test_malformed_health_is_refused(changes: dict[str, Any]) -> None:
    topic = "edge/e/s/area/line/m1/health"
    assert messages.read(topic, orjson.dumps(HEALTH), Catalogue()).health
    assert messages.read(topic, orjson.dumps(HEALTH | changes), Catalogue()).refused


@pytest.mark.parametrize("gap", [{"stream": 1}, {"stream": "s", "from_seq": "1"}, []])
def test_malformed_gaps_are_refused(gap: Any) -> None:
    topic = "edge/e/s/area/_agent/m1/health"
    assert messages.read(topic, orjson.dumps(HEALTH), Catalogue()).agent
    message = messages.read(topic, orjson.dumps(HEALTH | {"gap": gap}), Catalogue())
    assert message.refused or gap == []


def test_a_birth_whose_tags_are_null_has_none() -> None:
    message = messages.read(
        "edge/e/s/area/line/m1/birth", b'{"v":1,"device":"m1","tags":null}', Catalogue()
    )
    assert message.birth is not None
    Catalogue().born(message.birth)


@pytest.mark.parametrize("tags", [[], {"a": 1}, {"": {}}])
def test_malformed_births_are_refused(tags: Any) -> None:
    topic = "edge/e/s/area/line/m1/birth"
    assert messages.read(topic, b'{"v":1,"device":"m1"}', Catalogue()).birth
    assert messages.read(
        topic, orjson.dumps({"v": 1, "device": "m1", "tags": tags}), Catalogue()
    ).refused


@pytest.mark.parametrize(
    "topic",
    ["edge/e/s/area/line/m1/birth", "edge/e/s/area/line/m1/health", "edge/e/s/a/_agent/m1/health"],
)
def test_what_could_be_read_but_not_written_again_is_refused(topic: str) -> None:
    # orjson reads 1024 levels and writes 254: so a retained birth of 300 raised in the callback of
    # the connection.
    nest = b'{"type":"int","x":' + b"[" * 300 + b"]" * 300 + b"}"
    message = messages.read(
        topic, orjson.dumps(HEALTH)[:-1] + b',"tags":{"a":' + nest + b"}}", Catalogue()
    )
    assert message.refused == "nested too deep"
