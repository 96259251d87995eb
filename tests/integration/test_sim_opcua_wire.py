"""Simulated OPC UA devices read over the wire by asyncua's client, and every fault seen from
there."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from simulators.certificates import make
from simulators.runner import Simulation
from simulators.spec import FaultSpec, SpecError, parse
from tests.support.aio import run, until

URI = "http://example.org/machine"
LOCALIZED = {"type": "LocalizedText"}
TAGS: dict[str, dict[str, Any]] = {
    "channel_state": {
        "node": "ns=2;s=/Channel/State",
        "kind": "int",
        "map": {"0": "Active", "1": "Hold"},
    },
    "spindle_speed": {
        "node": f"nsu={URI};s=Spindle.Speed",
        "kind": "float",
        "type": "Double",
        "unit": "rpm",
    },
    "parts_total": {"node": f"nsu={URI};i=77", "kind": "int", "type": "UInt32"},
    "item_state": {
        "path": ["Objects", f"{{{URI}}}Machine", "0:Monitoring", "3:State"],
        "kind": "text",
        **LOCALIZED,
    },
    "program": {"node": "ns=2;s=Program", "kind": "text", "type": "String"},
    "curve": {"node": "ns=2;s=Curve", "kind": "array", "type": "Float[]", "count": 4},
}


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)


def opcua(name: str = "vmc-1", **more: Any) -> dict[str, Any]:
    return {"id": name, "protocol": "opcua", "tags": TAGS, **more}


@asynccontextmanager
async def simulated(
    *devices: dict[str, Any], **more: Any
) -> AsyncIterator[tuple[Simulation, dict[str, Any]]]:
    """A running simulation in this loop, and its readiness document."""
    simulation = Simulation(parse({"devices": list(devices), **more}))
    ready = await simulation.start()
    task = asyncio.create_task(simulation.run())
    try:
        yield simulation, ready
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await simulation.stop()


async def fault(simulation: Simulation, kind: str, name: str = "vmc-1", **more: Any) -> None:
    """Start a fault and return when it is in force."""
    device = simulation.devices[name]
    device.board.add(FaultSpec(kind, at=simulation.clock.seconds(), **more))
    before = device.board.version
    await until(lambda: device.board.version > before, what=kind)


async def data(client: Client, node: str) -> ua.DataValue:
    return await client.get_node(node).read_data_value(raise_on_bad_status=False)


def test_nodes_paths_namespaces_types_and_source_times() -> None:
    async def main() -> None:
        async with (
            simulated(opcua(), opcua("lathe-1"), speed=10.0) as (simulation, ready),
            Client(ready["endpoints"]["vmc-1"]) as client,
        ):
            assert ready["endpoints"]["vmc-1"] != ready["endpoints"]["lathe-1"]
            spaces = await client.get_namespace_array()
            index = spaces.index(URI)
            values = dict(zip(TAGS, simulation.devices["vmc-1"].values(), strict=True))
            total = await data(client, f"ns={index};i=77")
            assert total.Value is not None
            assert (total.Value.VariantType, total.Value.Value) == (
                ua.VariantType.UInt32,
                values["parts_total"],
            )
            state = await client.get_node("ns=2;s=/Channel/State").read_value()
            assert state in (0, 1, 2)
            path = ["0:Objects", f"{index}:Machine", "0:Monitoring", "3:State"]
            text = await (await client.nodes.root.get_child(path)).read_value()
            assert text.Text in {"Executing", "NotExecuting", "OutOfService"}
            assert len(await client.get_node("ns=2;s=Curve").read_value()) == 4
            assert (await client.get_node("ns=2;s=Program").read_value()).encode("gbk")
            speed = f"ns={index};s=Spindle.Speed"
            first = await data(client, speed)

            async def later() -> bool:
                now = await data(client, speed)
                return bool(
                    now.SourceTimestamp
                    and first.SourceTimestamp
                    and now.SourceTimestamp > first.SourceTimestamp
                )

            await until(later)
            with pytest.raises(ua.UaError):
                await client.get_node(speed).write_value(1.0)

    run(main())


def test_a_subscription_is_served_and_survives_bad_and_uncertain_values() -> None:
    class Handler:
        def __init__(self) -> None:
            self.status: list[int] = []

        def datachange_notification(self, node: Any, value: Any, notification: Any) -> None:
            self.status.append(notification.monitored_item.Value.StatusCode.value)

    async def main() -> None:
        async with (
            simulated(opcua(), speed=10.0) as (simulation, ready),
            Client(ready["endpoints"]["vmc-1"]) as client,
        ):
            index = (await client.get_namespace_array()).index(URI)
            handler = Handler()
            subscription = await client.create_subscription(50, handler)
            await subscription.subscribe_data_change(client.get_node(f"ns={index};i=77"))
            await until(lambda: 0 in handler.status)
            await fault(simulation, "bad_status", tags=frozenset({"parts_total"}))
            await until(lambda: ua.StatusCodes.BadSensorFailure in handler.status)
            assert (await data(client, f"ns={index};s=Spindle.Speed")).StatusCode.is_good()
            await fault(simulation, "clear")
            await fault(simulation, "uncertain_status")
            await until(lambda: ua.StatusCodes.UncertainLastUsableValue in handler.status)
            await subscription.delete()

    run(main())


def test_value_faults_and_a_clock_that_jumps() -> None:
    async def main() -> None:
        async with (
            simulated(opcua()) as (simulation, ready),
            Client(ready["endpoints"]["vmc-1"]) as client,
        ):
            index = (await client.get_namespace_array()).index(URI)
            speed, program = f"ns={index};s=Spindle.Speed", "ns=2;s=Program"
            before = (await data(client, speed)).SourceTimestamp
            name = await client.get_node(program).read_value()
            await fault(simulation, "clock_jump", seconds=-3600.0)

            async def jumped() -> bool:
                now = (await data(client, speed)).SourceTimestamp
                return bool(now and before and before - now > timedelta(minutes=50))

            await until(jumped)
            await fault(simulation, "nan")

            async def not_a_number() -> bool:
                return math.isnan(await client.get_node(speed).read_value())

            await until(not_a_number)
            await fault(simulation, "gbk_names")

            async def mojibake() -> bool:
                shown = await client.get_node(program).read_value()
                return bool(shown != name and shown.encode("latin-1").decode("gbk") == name)

            await until(mojibake)
            await fault(simulation, "counter_reset")

            async def reset() -> bool:
                return int(await client.get_node(f"ns={index};i=77").read_value()) < 5

            await until(reset)

    run(main())


def test_a_half_open_server_accepts_and_never_answers() -> None:
    async def main() -> None:
        async with simulated(opcua()) as (simulation, ready):
            await fault(simulation, "half_open")
            client = Client(ready["endpoints"]["vmc-1"], timeout=0.5)
            with pytest.raises(TimeoutError):
                await client.connect()
            await fault(simulation, "clear")
            async with Client(ready["endpoints"]["vmc-1"]) as again:
                assert await again.get_node("ns=2;s=Program").read_value()

    run(main())


def test_a_restart_changes_the_order_of_namespaces_and_keeps_the_address() -> None:
    async def main() -> None:
        async with simulated(opcua()) as (simulation, ready):
            url = ready["endpoints"]["vmc-1"]
            async with Client(url) as client:
                before = await client.get_namespace_array()
            await fault(simulation, "server_restart")

            async def back() -> list[str]:
                try:
                    async with Client(url, timeout=2) as client:
                        after = await client.get_namespace_array()
                        node = client.get_node(f"ns={after.index(URI)};s=Spindle.Speed")
                        assert isinstance(await node.read_value(), float)
                        return list(after)
                except (OSError, ua.UaError, TimeoutError):
                    return []

            after = await until(back)
            assert before.index(URI) != after.index(URI)
            assert set(before) < set(after)

    run(main())


def test_dropped_sessions_and_a_closed_port() -> None:
    async def main() -> None:
        async with simulated(opcua()) as (simulation, ready):
            endpoint = ready["endpoints"]["vmc-1"]
            port = int(endpoint.split(":")[2].split("/")[0])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await fault(simulation, "session_drop")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
            await fault(simulation, "offline")

            async def refused() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    return True
                writer.close()
                return False

            await until(refused)
            await fault(simulation, "clear")

            async def back() -> bool:
                try:
                    async with Client(endpoint, timeout=2) as client:
                        return bool(await client.get_node("ns=2;s=Program").read_value())
                except OSError:
                    return False

            await until(back)

    run(main())


def test_sign_and_encrypt_with_a_user_and_password(tmp_path: Path) -> None:
    async def main() -> None:
        user = {"name": "operator", "password": "correct"}
        device = opcua(security={"policy": "Basic256Sha256", "mode": "SignAndEncrypt"}, user=user)
        async with simulated(device) as (_, ready):

            async def connect(password: str) -> str:
                client = Client(ready["endpoints"]["vmc-1"])
                mine = make(tmp_path, "client", client.application_uri)
                client.set_user("operator")
                client.set_password(password)
                await client.set_security(
                    SecurityPolicyBasic256Sha256, str(mine.certificate), str(mine.key),
                    server_certificate=ready["certificates"]["vmc-1"],
                )  # fmt: skip
                async with client:
                    return str(await client.get_node("ns=2;s=Program").read_value())

            assert await connect("correct")
            with pytest.raises(ua.UaStatusCodeError):
                await connect("wrong")
            with pytest.raises(ua.UaError):
                await Client(ready["endpoints"]["vmc-1"]).connect()

    run(main())


def test_devices_on_one_server_and_equal_nodes_refused() -> None:
    async def main() -> None:
        tags = {"temperature": {"node": "ns=2;s=Other", "kind": "float", "unit": "Cel"}}
        async with simulated(opcua(bus="one"), opcua("x-1", bus="one", tags=tags)) as (_, ready):
            assert ready["endpoints"]["vmc-1"] == ready["endpoints"]["x-1"]
            async with Client(ready["endpoints"]["x-1"]) as client:
                assert 0 < await client.get_node("ns=2;s=Other").read_value() < 100
        with pytest.raises(SpecError, match="on one server"):
            await Simulation(
                parse({"devices": [opcua(bus="one"), opcua("x-1", bus="one")]})
            ).start()

    run(main())


def test_many_nodes_lie_in_folders_of_fifty() -> None:
    async def main() -> None:
        tags = {f"t{i}": {"node": f"ns=2;i={i + 1}", "kind": "float"} for i in range(120)}
        async with (
            simulated(opcua("big-1", tags=tags)) as (_, ready),
            Client(ready["endpoints"]["big-1"]) as client,
        ):
            folder = await client.nodes.objects.get_child("1:big-1")
            groups = await folder.get_children()
            assert [len(await group.get_children()) for group in groups] == [50, 50, 20]

    run(main())
