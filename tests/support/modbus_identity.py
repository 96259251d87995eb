"""Devices on serial buses that change places: read as the polling loop reads them, and what their
results are."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.modbus import endpoint, identity
from connectors.modbus.client import ModbusConnection
from edge_agent.model import is_good
from edge_agent.sdk import Batch, DeviceError, DevicePlan
from tests.support.modbus_bus import SerialBus, Station
from tests.support.modbus_wire import connection, make_plan

ACME, OTHER = ("ACME", "X100", "1.2"), ("ACME", "X200", "1.2")
OTHERS = {"modbus_another_device", "modbus_device_changed"}
TAGS = {"h": {"address": "holding/5"}}


def unstable_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two names of serial ports that count as unstable."""
    monkeypatch.setattr(endpoint, "UNSTABLE", (str(folder / "tty"),))
    monkeypatch.setattr(identity, "FIRST_PAUSE", 0.0)
    return folder / "ttyUSB0", folder / "ttyUSB1"


def on(name: Path, unit: int = 1, **options: object) -> DevicePlan:
    """A device that keeps what it learns beside its port."""
    options.setdefault("timeout", 0.2)
    made = make_plan(f"rtu://{name}", TAGS, f"{name.name}-{unit}", unit=unit, **options)
    return DevicePlan(made.id, made.options, made.tables, name.parent / "state")


@contextlib.asynccontextmanager
async def opened(*plans: DevicePlan) -> AsyncIterator[ModbusConnection]:
    """A connection object as a new process makes it."""
    made = connection(*plans)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def read(made: ModbusConnection, plan: DevicePlan) -> Batch | DeviceError:
    """One turn of the polling loop: a lost connection is opened again."""
    try:
        return await made.read(plan.tables[0])
    except DeviceError as error:
        if error.lost:
            await made.close()
            with contextlib.suppress(DeviceError):
                await made.open()
        return error


def good(result: Batch | DeviceError) -> bool:
    return isinstance(result, Batch) and all(
        is_good(result.status.get(n, 0)) for n in range(len(result.values))
    )


async def turns(
    made: ModbusConnection, *plans: DevicePlan, times: int = 4
) -> list[Batch | DeviceError]:
    return [await read(made, plan) for _ in range(times) for plan in plans]


def another(result: Batch | DeviceError) -> bool:
    return isinstance(result, DeviceError) and result.cause.name in OTHERS


def two_buses(
    one: tuple[str, ...] | None = ACME, other: tuple[str, ...] | None = OTHER
) -> tuple[SerialBus, SerialBus]:
    return SerialBus({1: Station({0: 1234, 5: 100}, one)}), SerialBus(
        {1: Station({0: 4321, 5: 200}, other)}
    )
