"""One MQTT message on its way into the store, and many of them as one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.identity import agent_of
from edge_agent.ingest import decode
from edge_agent.ingest.decode import MalformedError
from edge_agent.names import AGENT_LINE
from edge_agent.stores import Refusal, Rows, StreamMark, WriteBatch
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import Chunk


@dataclass(slots=True, eq=False)
class IngestMessage:
    """What is to be done with one message; `refused` says why it goes to quarantine instead of the
    store."""

    topic: str
    payload: bytes
    stream: str = ""
    seq: int = 0
    values: int = 0
    key: str = ""
    """The device's, but for birth documents."""
    chunk: Chunk | None = None
    health: dict[str, Any] | None = None
    agent: dict[str, Any] | None = None
    birth: dict[str, Any] | None = None
    refused: str = ""
    kept: bool = False
    """Whether the quarantine has it already: a commit is repeated while the store is away."""
    duplicate: bool = False
    unchecked: bool = False
    """It came before it was known what the store has of its stream."""
    acknowledge: tuple[int, int, int] = (0, 0, 0)
    """Connection, message id, QoS: an acknowledgement means nothing on another connection."""
    arrived: float = 0.0

    def forget(self) -> None:
        """Keep the acknowledgement only: the message is a duplicate."""
        self.duplicate = True
        self.payload = b""
        self.chunk = self.health = self.agent = None


def read(topic: str, payload: bytes, catalogue: Catalogue) -> IngestMessage:
    """Decode a data, health or birth message. Never raises: what is malformed is `refused`."""
    message = IngestMessage(topic, payload)
    try:
        found = decode.document(payload)
    except MalformedError as error:
        message.refused = str(error)
        return message
    try:
        _take(message, found, catalogue)
    except MalformedError as error:
        message.refused = str(error)
        values = found.get("values")
        message.values = len(values) if type(values) is dict else 0
    return message


def _take(message: IngestMessage, found: dict[str, Any], catalogue: Catalogue) -> None:
    *_, line, device, kind = message.topic.split("/")
    if kind != "birth":
        # First of all, so that a refused entry is known by its number and the agent need not send
        # it again.
        message.stream, message.seq = decode.text(found, "stream"), decode.number(found, "seq")
    decode.version(found)
    if found.get("device") != device:
        raise MalformedError("the device is not the topic's")
    if kind == "birth":
        message.birth = decode.birth(found)
        return
    agent = agent_of(message.stream)
    message.key = catalogue.keys.key(decode.agent(agent), device)
    if kind == "data":
        message.chunk = decode.data(found, catalogue, message.key)
        message.values = len(message.chunk)
    elif line == AGENT_LINE:
        message.agent = decode.agent_health(found)
    else:
        message.health = decode.health(found)
        message.health["device"] = message.key


@dataclass(slots=True, eq=False)
class Assembly:
    """Messages as one batch, and the way back from a row to its message."""

    batch: WriteBatch
    with_chunk: list[IngestMessage]

    @classmethod
    def of(cls, messages: Sequence[IngestMessage], stored: int) -> Assembly:
        """Columns in order of arrival; duplicates and refused messages bring no data."""
        taken = [message for message in messages if not message.duplicate and not message.refused]
        with_chunk = [message for message in taken if message.chunk is not None]
        batch = WriteBatch(
            rows=Rows.of([message.chunk for message in with_chunk if message.chunk is not None]),
            stored=stored,
            health=[message.health for message in taken if message.health is not None],
            agents=[message.agent for message in taken if message.agent is not None],
            marks=[
                StreamMark(message.stream, message.seq, 0 if message.refused else message.values)
                for message in messages
                if message.stream and not message.duplicate
            ],
        )
        return cls(batch, with_chunk)

    def less(
        self, refusals: Iterable[Refusal], catalogue: Catalogue
    ) -> list[tuple[IngestMessage, str, list[str]]]:
        """Take the refused rows out of the batch; returns (message, reason, tags) for the
        quarantine."""
        by_row = {refusal.row: refusal.reason for refusal in refusals}
        if not by_row:
            return []
        out: list[tuple[IngestMessage, str, list[str]]] = []
        lost: Counter[tuple[str, int]] = Counter()
        start = 0
        for message in self.with_chunk:
            reasons: dict[str, list[int]] = {}
            for row in range(start, start + message.values):
                if row in by_row:
                    reasons.setdefault(by_row[row], []).append(row - start)
            for reason, positions in reasons.items():
                sids = [int(self.batch.rows.sid[start + position]) for position in positions]
                out.append((message, reason, [catalogue.series[sid].tag for sid in sids]))
                lost[message.stream, message.seq] += len(positions)
            start += message.values
        self.batch.rows = self.batch.rows.without(by_row)
        self.batch.marks = [
            StreamMark(mark.stream, mark.seq, mark.values - lost[mark.stream, mark.seq])
            for mark in self.batch.marks
        ]
        return out
