"""A tag whose type only its device knows: the birth document says it as soon as a value has shown
it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from edge_agent.app.agent.device_factory import DeviceFactory
from edge_agent.app.agent.device_registry import DeviceRegistry
from edge_agent.clock import Clock
from edge_agent.config.plugins import plugins_or_installed
from edge_agent.model import STATUS, Batch, Value
from edge_agent.outbox import Outbox
from edge_agent.polling.poll_timer import PollTimer
from edge_agent.topics import Topics
from tests.support.sites import site

DEVICE = (
    "  - {id: %s, connector: opcua, mode: read, endpoint: 'opc.tcp://127.0.0.1:1', tags: {"
    "a: {node: 'ns=2;s=a'}, b: {node: 'ns=2;s=b'}, c: {node: 'ns=2;s=c', type: Double}}}\n"
)


class Broker:
    """Keeps what is retained."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []

    def retain(self, topic: str, *pieces: bytes) -> None:
        assert topic.endswith("/birth")
        self.documents.append(orjson.loads(b"".join(pieces)))

    def forget(self, topic: str) -> None:
        """Nothing is moved here."""


def test_the_birth_document_follows_the_types_that_values_show(tmp_path: Path) -> None:
    found = site(tmp_path, "devices:\n" + DEVICE % "cnc-1" + DEVICE % "cnc-2")
    outbox = Outbox(tmp_path / "outbox", agent="ipc-01", max_bytes=1 << 20, fsync_ms=10_000)
    try:
        workshop, plugins = (
            DeviceFactory(found.agent, Topics("e", "s", "t"), outbox, Clock()),
            plugins_or_installed(None),
        )
        broker = Broker()
        fleet = DeviceRegistry(found, workshop, plugins, Clock(), broker, PollTimer())
        first, _ = fleet.devices
        (table,) = first.plan.tables

        def answer(*values: Value) -> list[dict[str, Any]]:
            """The documents that are announced after an answer of the first device."""
            broker.documents.clear()
            status = {
                at: STATUS["BadNodeIdUnknown"] for at, value in enumerate(values) if value is None
            }
            first.answered(Batch(table, 1, list(values), status), 1.0)
            fleet.learn_kinds(fleet.devices)
            return list(broker.documents)

        def types(document: dict[str, Any]) -> dict[str, str | None]:
            return {name: entry.get("type") for name, entry in document["tags"].items()}

        assert [types(document) for document in broker.documents] == [
            {"a": None, "b": None, "c": "float"}
        ] * 2
        (told,) = answer(True, None, 1.5)
        assert (told["device"], types(told)) == ("cnc-1", {"a": "bool", "b": None, "c": "float"})
        assert answer(False, None, 2.5) == [], "nothing new"
        (told,) = answer(True, [1, 2], 1.5)
        assert types(told) == {"a": "bool", "b": "array", "c": "float"}
        (told,) = answer("on", [1, 2], 1.5)
        assert types(told) == {"a": "text", "b": "array", "c": "float"}, (
            "another type of the server's"
        )
        assert answer(None, None, 1.5) == [], "no value says nothing of the type"
    finally:
        outbox.close_now()
