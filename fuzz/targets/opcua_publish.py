"""OPC UA Publish responses against a reader written apart."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from connectors.opcua.binary import DecodeError
from connectors.opcua.messages import Published, ServiceFault, publish_response
from fuzz.target import FuzzTarget, demand
from fuzz.targets import _opcua as apart

_PUBLISH: Final = b"\x01\x00" + struct.pack("<H", 829)


def publish(data: bytes) -> None:
    """The first byte says whether the rest is a response or what follows its header."""
    body = data[1:] if data and data[0] % 2 else _PUBLISH + apart.HEADER + data[1:]
    expected = _expected(body)
    try:
        found: Published | int | None = publish_response(body)
    except DecodeError:
        found = None
    except ServiceFault as fault:
        found = fault.code
    if not isinstance(found, Published) or not isinstance(expected, apart.Publication):
        demand(found == expected, "decoded", found, ", the response says", expected)
        return
    demand(
        found.subscription == expected.subscription,
        "subscription",
        found.subscription,
        expected.subscription,
    )
    demand(found.sequence == expected.sequence, "sequence", found.sequence, expected.sequence)
    demand(
        list(found.available) == expected.available,
        "available",
        found.available,
        expected.available,
    )
    demand(found.ended == expected.ended, "ended with", found.ended, ", said", expected.ended)
    demand(found.data == bool(expected.kinds), "data", found.data, "of", expected.kinds)
    apart.compare(found.changes, expected.changes)


def _expected(body: bytes) -> apart.Publication | int | None:
    try:
        return apart.publish(body)
    except apart.BrokenError:
        return None
    except apart.FaultError as fault:
        return int(fault.args[0])


def _seeds() -> Iterable[bytes]:
    head = struct.pack("<Ii2IBIq", 7, 2, 1, 2, 0, 3, 0)
    for record in apart.records():
        change = apart.array([record] * 2, handles=True)
        notification = b"\x01\x00\x2b\x03\x01" + struct.pack("<i", len(change)) + change
        yield b"\0" + head + struct.pack("<i", 1) + notification
        yield b"\1" + _PUBLISH + apart.HEADER + head + struct.pack("<i", 2) + notification * 2
    ended = b"\x01\x00\x34\x03\x01" + struct.pack("<iI", 4, 0x80000000)
    yield b"\0" + struct.pack("<IiBIqi", 7, 0, 0, 3, 0, 1) + ended
    yield (
        b"\1\x01\x00"
        + struct.pack("<H", 397)
        + bytes(12)
        + struct.pack("<I", 0x800D0000)
        + bytes(8)
    )


TARGETS = (FuzzTarget("opcua-publish", publish, _seeds, 600_000, longest=300),)
