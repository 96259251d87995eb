"""A tag without a type, over OPC UA: its birth document follows the type that the server has, also
another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from asyncua import ua

from edge_agent.app.agent.agent import EdgeAgent
from edge_agent.clock import Clock
from edge_agent.config import load
from tests.support.agents import online, running_agent
from tests.support.aio import run, until
from tests.support.opcua_proxy import proxy
from tests.support.opcua_server import URI, Running
from tests.support.servers import free_port
from tests.support.sites import write

#: By mode: a number that becomes a text, a truth value or number that becomes a float, and one that
#: stays.
TAGS = {"subscribe": ("Int16", "Boolean", "String"), "read": ("UInt16", "SByte", "Guid")}


@pytest.fixture(scope="module")
def machine() -> Iterator[Running]:
    with Running.start(free_port()) as running:
        yield running


def show(running: Running, name: str, value: ua.Variant) -> None:
    """Let the server give another value than the one that was written, also one of another type."""
    space, node = running.server.iserver.aspace, running.nodes[name].nodeid
    space.set_attribute_value_callback(node, ua.AttributeIds.Value, lambda *_: ua.DataValue(value))


def site(folder: Path, endpoint: str, mode: str) -> Path:
    tags = ", ".join(f"{name}: {{node: 'nsu={URI};s={name}'}}" for name in TAGS[mode])
    device = (
        f"id: cnc, connector: opcua, mode: {mode}, timeout: 2s, every: 100ms, endpoint: "
        f"'{endpoint}'"
    )
    head = (
        f"agent: {{id: ipc-01, site: s, health: 100ms}}\nmqtt: {{url: "
        f"'mqtt://127.0.0.1:{free_port()}'}}\n"
    )
    return write(folder, f"devices: [{{{device}, tags: {{{tags}}}}}]\n", head=head)


@pytest.mark.parametrize("mode", TAGS)
def test_a_type_that_is_another_after_a_reconnection_is_announced_with_its_time(
    machine: Running, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    births: list[dict[str, Any]] = []

    def types() -> list[str | None]:
        return [births[-1]["tags"][name].get("type") for name in TAGS[mode]]

    async def case() -> None:
        async with proxy(machine.port) as between:
            path = site(tmp_path, between.endpoint, mode)
            agent = EdgeAgent(load(path), Clock(), source=path)
            retain = agent._publisher.retain

            def noted(topic: str, *pieces: bytes) -> None:
                births.append(orjson.loads(b"".join(pieces)))
                retain(topic, *pieces)

            monkeypatch.setattr(agent._publisher, "retain", noted)
            async with running_agent(agent):
                known = ["int", "bool" if mode == "subscribe" else "int", "text"]
                await until(online(agent, "cnc"))
                await until(lambda: births and types() == known)
                before, changed_at = len(births), time.time_ns()
                show(machine, TAGS[mode][0], ua.Variant("seven", ua.VariantType.String))
                show(machine, TAGS[mode][1], ua.Variant(1.0, ua.VariantType.Double))
                between.cut()
                await until(lambda: len(births) > before and types() == ["text", "float", "text"])
            first, *later = births
        assert first["device"] == "cnc"
        assert later[-1]["t"] >= changed_at
        assert all(one["t"] <= other["t"] for one, other in pairwise(births))

    run(case())
