"""What agent and ingest tell one another: the retained watermark, and the retained state it
answers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import orjson

from edge_agent.ingest.decode import MalformedError, document
from edge_agent.ingest.watermark import Watermarks
from edge_agent.intervals import IntervalSet
from edge_agent.mqtt import packets
from edge_agent.publish import confirm
from edge_agent.topics import Topics
from fuzz.target import FuzzTarget, demand

_TOPICS: Final = Topics("edge", "enterprise", "site")
logging.getLogger("edge_agent.publish.confirm").setLevel(logging.CRITICAL)  # each refusal is logged


def watermark(data: bytes) -> None:
    """The first byte says who speaks."""
    (_state if data and data[0] % 2 else _heard)(data[1:])


def _heard(payload: bytes) -> None:
    """Exactly the intervals of the document come out, and confirm exactly their numbers; or nothing
    does."""
    found = confirm.parse(payload)
    if found is None:
        return
    streams: dict[str, Any] = orjson.loads(payload)["streams"]
    demand(
        found.streams.keys() == streams.keys(), "streams", list(found.streams), "of", list(streams)
    )
    for name, pairs in found.streams.items():
        demand(pairs == list(map(tuple, streams[name])), name, ":", pairs, "of", streams[name])
        demand(all(type(n) is int for pair in pairs for n in pair), name, ": no integers:", pairs)
        demand(all(1 <= first <= last for first, last in pairs), name, ": no intervals:", pairs)
        known = IntervalSet(pairs)
        for first, last in pairs:
            demand(known.covers(first, last), name, ":", known, "without", first, last)
        demand(IntervalSet(known.pairs()) == known, name, ": other after telling:", known)
        edges = {edge + step for pair in pairs for edge in pair for step in (-1, 0, 1)}
        demand(
            all((n in known) == any(first <= n <= last for first, last in pairs) for n in edges),
            name,
            known,
            pairs,
        )


def _state(payload: bytes) -> None:
    """Whatever an agent says of itself, the answer has a topic that can be published to, and is
    understood."""
    try:
        state = document(payload)
    except MalformedError:
        return
    marks = Watermarks()
    marks.take_agent_state(state)
    named = state.get("streams")
    marks.committed(
        [name for name in named if type(name) is str][:8] if type(named) is list else (), 1.0
    )
    known = {"a/0/1": IntervalSet([(1, 5), (7, 2**63 - 1)])}
    for agent in marks.due(1.0, everyone=True):
        told = marks.document(agent, "ingest", 5, known)
        packets.publish(_TOPICS.watermark(agent), len(told), 1, retained=True, five=True)
        demand(agent.isprintable() and not {"/", " "} & set(agent), "agent", agent)
        demand(confirm.parse(told) is not None, "not understood:", told)


def _seeds() -> Iterable[bytes]:
    for streams in (
        {"a/0/1": [[1, 5], [7, 9]], "b/1/2": []},
        {"a": [[3, 3], [1, 2], [2, 2**64 - 1]]},
        {"a": [[0, 1]]},
    ):
        yield b"\0" + orjson.dumps({"v": 1, "ingest": "i", "t": 5, "streams": streams})
    yield (
        b'\0{"streams":{"a":[[1,2,3]],"b":[{"x":1,"y":2}],"c":"12","d":{},'
        b'"e":[[1,1e3]],"f":[[true,1]]}}'
    )
    for agent in ("ipc-01", "+", "", "a/b", "东莞", "x" * 70):
        yield b"\1" + orjson.dumps(
            {"v": 1, "agent": agent, "state": "online", "streams": ["a/0/1", f"{agent}/0/2", 5]}
        )


TARGETS = (
    FuzzTarget(
        "watermark",
        watermark,
        _seeds,
        1_000_000,
        words=(
            b'"streams":',
            b'"agent":',
            b"[[1,2]]",
            b"[1,5]",
            b"18446744073709551615",
            b"null",
            b"true",
            b"#",
            b"+",
        ),
        longest=300,
    ),
)
