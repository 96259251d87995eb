"""Modbus: TCP, RTU over TCP, UDP, TLS, serial RTU and ASCII. `PLUGIN` is all the agent sees of
it."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.modbus.check import (
    check,
    connection_key,
    kind_of,
    kinds,
    notes,
    requests,
    tag_notes,
)
from connectors.modbus.describe import describe
from connectors.modbus.options import ModbusDevice, ModbusTag, tag_address, tag_modulus
from edge_agent.sdk import Clock, Connection, DevicePlan, Discovery, Plugin


def _connect(plans: Sequence[DevicePlan], clock: Clock) -> Connection:
    from connectors.modbus.client import ModbusConnection

    return ModbusConnection(plans, clock)


def _discovery() -> Discovery:
    from connectors.modbus.discovery import DISCOVERY

    return DISCOVERY


PLUGIN = Plugin(
    name="modbus",
    device_options=ModbusDevice,
    tag_options=ModbusTag,
    kind=kind_of,
    check=check,
    connection_key=connection_key,
    connect=_connect,
    describe=describe,
    endpoint_key="url",
    notes=notes,
    kinds=kinds,
    tag_notes=tag_notes,
    requests=requests,
    address=tag_address,
    discovery=_discovery,
    modulus=tag_modulus,
)
