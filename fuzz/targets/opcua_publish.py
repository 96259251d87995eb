"""OPC UA Publish responses: refused with a documented error, or columns of our model."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from connectors.opcua.binary import DecodeError
from connectors.opcua.messages import ServiceFault, publish_response
from fuzz.target import Target, demand
from fuzz.targets._opcua import HEADER, array, plausible, records

_PUBLISH: Final = b"\x01\x00" + struct.pack("<H", 829)


def publish(data: bytes) -> None:
    """A PublishResponse is refused with a documented error or its columns are aligned and of our model."""
    for body in (data, _PUBLISH + HEADER + data):
        try:
            found = publish_response(body)
        except (DecodeError, ServiceFault):
            continue
        demand(0 <= found.subscription < 2**32 and 0 <= found.sequence < 2**32, "numbers beyond 32 bits")
        demand(4 * len(found.available) <= len(body), "more sequence numbers than bytes")
        demand(found.ended is None or 0 <= found.ended < 2**32, "ended with", found.ended)
        if found.changes is not None:
            demand(found.data, "data in a keep-alive")
            plausible(found.changes, handles=True)


def _publish_seeds() -> Iterable[bytes]:
    for record in records():
        change = array([record] * 2, handles=True)
        notification = b"\x01\x00\x2b\x03\x01" + struct.pack("<i", len(change)) + change
        head = struct.pack("<Ii2IBIq", 7, 2, 1, 2, 0, 3, 0)
        yield head + struct.pack("<i", 1) + notification
        yield head + struct.pack("<i", 2) + notification * 2
    ended = b"\x01\x00\x34\x03\x01" + struct.pack("<iI", 5, 0x80000000) + b"\0"
    yield struct.pack("<IiBIqi", 7, 0, 0, 3, 0, 1) + ended


TARGETS = (Target("opcua-publish", publish, _publish_seeds, 600_000, longest=400),)
