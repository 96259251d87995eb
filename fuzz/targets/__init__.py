"""All targets by name, each module imported only when one of its targets is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from fuzz.target import Target

#: Target -> the module that has it in its `TARGETS`.
MODULES: Final = {
    "modbus-mbap": "modbus", "modbus-rtu": "modbus", "modbus-block": "modbus_block",
    "opcua-read": "opcua", "opcua-publish": "opcua",
    "outbox-segment": "outbox", "outbox-acks": "outbox", "ingest": "ingest", "config": "config",
}  # fmt: skip


def find(name: str) -> Target:
    """The target of this name."""
    module = import_module(f"fuzz.targets.{MODULES[name]}")
    found: Target = next(target for target in module.TARGETS if target.name == name)
    return found
