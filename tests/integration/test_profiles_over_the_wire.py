"""Every profile, read through the wire from its own simulator, each value checked by a foreign
client.

One rehearsal stands in for all devices, their values frozen; the agent's connector reads them all,
and then pymodbus (for Modbus) and asyncua's client (for OPC UA) read the same places and decode
them by the profile file.
"""

from __future__ import annotations

import asyncio
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncua
import numpy as np
import pytest
import yaml
from asyncua import ua
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient

from edge_agent.app.demo import rehearse
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.config.profiles import available
from edge_agent.normalise import Normaliser
from edge_agent.sdk import (
    Batch,
    Clock,
    DevicePlan,
    Pollable,
    Streaming,
    TagTable,
    Value,
    status_name,
)
from tests.support.aio import run, until

PROFILES: dict[str, dict[str, Any]] = {
    name: yaml.safe_load(file.read_text(encoding="utf-8")) for name, file in available().items()
}
READABLE = sorted(name for name, profile in PROFILES.items() if profile["tags"])
#: Two meters with different units on one RS-485 line, as they hang in a cabinet.
BUS = "rtu:///dev/ttyUSB0?baudrate=115200&parity=N"
UNITS = {"eastron-sdm120": 11, "eastron-sdm230": 12}
FORMATS = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "float32": "f", "int64": "q"}


@dataclass
class Reading:
    """What the agent and the witness saw of one device, by tag; `raw` before, `values` after
    normalisation."""

    raw: dict[str, Value]
    values: dict[str, Value]
    status: dict[str, str]
    witness: dict[str, object]


def configuration() -> str:
    lines = ["agent: {id: rehearsal}", "mqtt: {url: mqtt://127.0.0.1:1883}", "devices:"]
    for i, name in enumerate(READABLE):
        if name in UNITS:
            where = f"url: '{BUS}', unit: {UNITS[name]}"
        elif PROFILES[name]["connector"] == "modbus":
            where = f"url: tcp://10.0.1.{i}:502, unit: {i + 1}"
        else:
            where = f"endpoint: opc.tcp://10.0.1.{i}:4840"
        lines.append(f"  - {{id: {name}, profile: {name}, {where}, every: 200ms}}")
    return "\n".join(lines)


async def read_all(folder: Path) -> dict[str, Reading]:
    original = folder / "plant.yaml"
    original.write_text(configuration(), encoding="utf-8")
    site, simulation = load(original), rehearse.SimulatorProcess(folder / "simulators.log")
    frozen = {name: [{"kind": "frozen"}] for name in READABLE}
    try:
        endpoints = await simulation.start(rehearse.spec(site, plans(site), Clock(), faults=frozen))
        redirected = folder / "plant.simulated.yaml"
        redirected.write_text(rehearse.redirect(original, endpoints), encoding="utf-8")
        readings = await as_the_agent(redirected)
        for name, reading in readings.items():
            witness = modbus_witness if PROFILES[name]["connector"] == "modbus" else opcua_witness
            reading.witness = await witness(name, endpoints[name])
        return readings
    finally:
        await simulation.stop()


async def as_the_agent(config: Path) -> dict[str, Reading]:
    site, plugins = load(config), InstalledPlugins()
    plugin_of = {device.id: plugins[device.connector] for device in site.devices}
    connections: dict[str, list[DevicePlan]] = {}
    for plan in plans(site):
        connections.setdefault(plugin_of[plan.id].connection_key(plan.options), []).append(plan)
    readings: dict[str, Reading] = {}
    for members in connections.values():
        connection = plugin_of[members[0].id].connect(members, Clock())
        await connection.open()
        try:
            for plan in members:
                readings[plan.id] = await one_reading(connection, plan.tables[0])
        finally:
            await connection.close()
    return readings


async def one_reading(connection: object, table: TagTable) -> Reading:
    if isinstance(connection, Streaming):
        batches = await streamed(connection, table)
    else:
        assert isinstance(connection, Pollable)
        batches = [await connection.read(table)]
    raw: dict[str, Value] = {}
    values: dict[str, Value] = {}
    status: dict[str, str] = {}
    normaliser = Normaliser(table)
    for batch in batches:
        names = [table.names[i] for i in batch.columns or range(len(table))]
        raw.update(zip(names, list(batch.values), strict=True))
        normaliser.apply(batch)
        values.update(zip(names, batch.values, strict=True))
        status |= {names[i]: status_name(code) for i, code in batch.status.items()}
    return Reading(raw, values, status, {})


async def streamed(connection: Streaming, table: TagTable) -> list[Batch]:
    """Batches until every tag was there once."""
    batches: list[Batch] = []

    def seen() -> set[int]:
        return {i for batch in batches for i in batch.columns or range(len(table))}

    task = asyncio.create_task(connection.stream(batches.append, lambda _: None), name="stream")
    try:
        await until(lambda: task.done() or len(seen()) == len(table), what="a value of every tag")
        return list(batches)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def modbus_client(url: str) -> ModbusBaseClient:
    parts = urlsplit(url)
    if parts.scheme == "tcp":
        return AsyncModbusTcpClient(str(parts.hostname), port=parts.port or 502)
    settings = {key: value[0] for key, value in parse_qs(parts.query).items()}
    return AsyncModbusSerialClient(
        parts.path,
        framer=FramerType.RTU,
        baudrate=int(settings.get("baudrate", 115200)),
        parity="N",
    )


async def modbus_witness(name: str, url: str) -> dict[str, object]:
    client = modbus_client(url)
    assert await client.connect()
    unit = UNITS.get(name, READABLE.index(name) + 1)
    try:
        return {
            tag: await modbus_value(client, unit, keys, name)
            for tag, keys in PROFILES[name]["tags"].items()
        }
    finally:
        client.close()


async def modbus_value(
    client: ModbusBaseClient, unit: int, keys: dict[str, Any], name: str
) -> object:
    match = re.fullmatch(r"(holding|input|discrete)/(\d+)(?:\.(\d+))?", keys["address"])
    assert match is not None
    table, address, bit = match.groups()
    if table == "discrete":
        inputs = await client.read_discrete_inputs(int(address), count=1, device_id=unit)
        assert not inputs.isError(), inputs
        return bool(inputs.bits[0])
    size = keys.get("length") or struct.calcsize(FORMATS.get(keys["type"], "H"))
    read = client.read_holding_registers if table == "holding" else client.read_input_registers
    answer = await read(int(address), count=size // 2, device_id=unit)
    assert not answer.isError(), answer
    words = list(answer.registers)
    if PROFILES[name].get("defaults", {}).get("word_order") == "CDAB":
        words.reverse()
    data = struct.pack(f">{len(words)}H", *words)
    if bit is not None:
        return bool(words[0] >> int(bit) & 1)
    if keys["type"] == "string":
        return data.split(b"\0")[0].decode("ascii").rstrip()
    value = struct.unpack(f">{FORMATS[keys['type']]}", data)[0]
    return float(str(np.float32(value))) if keys["type"] == "float32" else value


async def opcua_witness(name: str, url: str) -> dict[str, object]:
    async with asyncua.Client(url) as client:
        found = {}
        for tag, keys in PROFILES[name]["tags"].items():
            value = await (await opcua_node(client, keys)).read_value()
            found[tag] = value.Text if isinstance(value, ua.LocalizedText) else value
        return found


async def opcua_node(client: asyncua.Client, keys: dict[str, Any]) -> asyncua.Node:
    if "node" in keys:
        return client.get_node(keys["node"])
    steps = []
    for uri, step in re.findall(r"(?:\{([^}]*)\})?([^/{}]+)(?:/|$)", keys["path"]):
        steps.append(f"{await client.get_namespace_index(uri) if uri else 0}:{step}")
    return await client.nodes.root.get_child(steps)


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    return run(read_all(tmp_path_factory.mktemp("rehearsal")), timeout=110)


@pytest.mark.parametrize("name", READABLE)
def test_every_tag_of_a_profile_is_good(name: str, readings: dict[str, Reading]) -> None:
    assert readings[name].status == {}
    assert set(readings[name].values) == set(PROFILES[name]["tags"])


@pytest.mark.parametrize("name", READABLE)
def test_every_value_is_what_a_foreign_client_reads(
    name: str, readings: dict[str, Reading]
) -> None:
    reading = readings[name]
    assert reading.raw == reading.witness


@pytest.mark.parametrize("name", READABLE)
def test_every_value_is_scaled_once(name: str, readings: dict[str, Reading]) -> None:
    reading = readings[name]
    for tag, keys in PROFILES[name]["tags"].items():
        raw, value = reading.witness[tag], reading.values[tag]
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            assert value == pytest.approx(raw * keys.get("scale", 1.0), rel=1e-12), tag
        else:
            assert value == raw, tag
