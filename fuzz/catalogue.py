"""All targets by name, each module imported only when one of its targets is wanted."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from fuzz.target import FuzzTarget

#: Target -> the module that has it in its `TARGETS`.
MODULES: Final = {
    "modbus-mbap": "modbus_mbap",
    "modbus-rtu": "modbus_rtu",
    "modbus-block": "modbus_block",
    "modbus-stock": "modbus_stock",
    "opcua-read": "opcua_read",
    "opcua-publish": "opcua_publish",
    "opcua-chunks": "opcua_chunks",
    "outbox-segment": "outbox_segment",
    "outbox-acks": "outbox_acks",
    "mqtt-packets": "mqtt_packets",
    "mqtt-connection": "mqtt_connection",
    "watermark": "watermark",
    "ingest": "ingest",
    "store-answers": "store_answers",
    "loopback": "loopback",
    "config": "config",
    "register": "register",
    "pack-zip": "pack_zip",
    "pack-replay": "pack_replay",
}


def find(name: str) -> FuzzTarget:
    """The target of this name."""
    module = import_module(f"fuzz.targets.{MODULES[name]}")
    found: FuzzTarget = next(target for target in module.TARGETS if target.name == name)
    return found
