"""What was under way when the broker hung up is tried first and one at a time, and nothing else
is."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from edge_agent.config.models import Mqtt
from edge_agent.mqtt import MqttConnection, connection
from edge_agent.outbox import Outbox
from edge_agent.publish.session import InFlightMessage, PublishCounters, PublishSession
from edge_agent.publish.suspect_messages import HANGS_UP_S, SuspectMessages
from tests.support.aio import run, until

WINDOW = 8
DOCUMENTS = {f"edge/{n}/birth": (b"{}",) for n in range(4)}


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setenv("EDGE_AGENT_STOCK", "0")  # the message ids are known
    made = Outbox(tmp_path / "box", agent="ipc-01", max_bytes=50_000_000, fsync_ms=20)
    yield made
    made.close_now()


def put(box: Outbox, topic: str) -> None:
    box.append(topic, b'{"seq":', b"}", 1000, 1)


class Sending:
    """A session whose broker is the other end of a socket."""

    def __init__(self, session: PublishSession, broker: socket.socket) -> None:
        self.session = session
        self._broker = broker
        self._next = connection._FIRST_ID

    @property
    def topics(self) -> list[str]:
        """Of what is under way."""
        return [sent.topic for sent in self.session.unacknowledged]

    async def taken(self) -> None:
        """The broker takes all that is under way."""
        under_way = self.session.unacknowledged
        ids = range(self._next, self._next + len(under_way))
        self._next += len(under_way)
        self._broker.sendall(b"".join(b"\x40\x02" + n.to_bytes(2, "big") for n in ids))
        await until(lambda: not set(under_way) & set(self.session.unacknowledged))


@asynccontextmanager
async def sending(
    box: Outbox, suspects: Sequence[InFlightMessage] = (), holds: SuspectMessages | None = None
) -> AsyncIterator[Sending]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def dialled(*_: object) -> socket.socket:
        return ours

    config = Mqtt(url="mqtt://broker", window=WINDOW)
    link = MqttConnection(config, "test")
    with theirs, patch.object(connection, "dial_async", dialled):
        theirs.sendall(b"\x20\x02\x00\x00")
        await link.open(None)
        box.attach()
        made = PublishSession(
            config,
            link,
            box,
            DOCUMENTS,
            PublishCounters(),
            lambda message: None,
            holds or SuspectMessages(),
            suspects,
        )
        box.on_append = made.appended
        made.wake()
        try:
            yield Sending(made, theirs)
        finally:
            box.on_append = None
            made.end()
            box.detach()


async def interrupted(box: Outbox) -> tuple[InFlightMessage, ...]:
    """A first connection that ends with a full window under way, all of it live data."""
    async with sending(box) as under:
        await until(lambda: len(under.topics) == len(DOCUMENTS))
        await under.taken()
        for n in range(WINDOW):
            put(box, f"edge/{n}/data")
        await until(lambda: len(under.topics) == WINDOW)
        return under.session.unacknowledged


def test_suspects_go_one_at_a_time_before_everything_else_and_then_the_window_is_full(
    box: Outbox,
) -> None:
    async def scenario() -> None:
        suspects = await interrupted(box)
        async with sending(box, suspects) as under:
            for _ in range(100):
                put(box, "edge/live/data")
            seen = []
            for _ in range(WINDOW):
                await until(lambda: len(under.topics) == 1)
                seen += under.topics
                assert under.session.sole_in_flight is not None
                await under.taken()
            assert seen[: len(DOCUMENTS)] == list(DOCUMENTS)
            assert seen[len(DOCUMENTS) :] == [
                f"edge/{n}/data" for n in range(WINDOW - len(DOCUMENTS))
            ]
            await until(lambda: len(under.topics) == WINDOW)
            assert under.session.sole_in_flight is None

    run(scenario())


def test_of_many_documents_the_suspected_are_sent_first(box: Outbox) -> None:
    async def scenario() -> None:
        last = list(DOCUMENTS)[-1]
        async with sending(box, [InFlightMessage(0.0, None, last, live=False)]) as under:
            await until(lambda: under.topics == [last])
            await under.taken()
            await until(lambda: len(under.topics) == len(DOCUMENTS) - 1)

    run(scenario())


def test_the_same_message_under_way_at_two_ends_is_held(box: Outbox) -> None:
    async def scenario() -> None:
        holds, suspects = SuspectMessages(), await interrupted(box)
        for _ in range(2):
            assert not holds.until
            async with sending(box, suspects, holds) as under:
                for _ in DOCUMENTS:
                    await until(lambda: len(under.topics) == 1)
                    await under.taken()
                await until(lambda: under.topics == ["edge/0/data"])
                sole = under.session.sole_in_flight
                assert sole is not None
                holds.note_disconnect((sole.topic, sole.message), 0.0)
        assert set(holds.until) == {"edge/0/data"}

    run(scenario())


def test_the_broker_hung_up_at_a_topic_twice_but_took_the_first_message() -> None:
    """It restarts every few seconds, and something innocent is under way each time."""
    holds = SuspectMessages()
    for number in range(5):
        holds.note_disconnect(("a", ("stream", number)), 0.0)
        assert holds.is_suspecting
        holds.taken("a", ("stream", number))
        assert not holds.is_suspecting
    assert holds.until == {}


def test_another_message_of_the_topic_does_not_clear_the_first() -> None:
    """Small ones pass and one is too large: it is found all the same."""
    holds = SuspectMessages()
    holds.note_disconnect(("a", ("stream", 1)), 0.0)
    holds.taken("a", ("stream", 2))
    holds.taken("b", ("stream", 3))
    holds.note_disconnect(("a", ("stream", 1)), 0.0)
    assert holds.until == {"a": HANGS_UP_S[0]}
