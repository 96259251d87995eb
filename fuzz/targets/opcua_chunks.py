"""OPC UA chunks cut out of a TCP stream before asyncua sees them, against their length fields read
one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from connectors.opcua.raw_transport import BoundedProtocol
from fuzz.target import FuzzInput, FuzzTarget, demand


class _Transport:
    """Notes that the connection was dropped."""

    dropped = False

    def abort(self) -> None:
        self.dropped = True

    def is_closing(self) -> bool:
        return self.dropped


class _Protocol(BoundedProtocol):
    """Keeps what would be handed on."""

    def __init__(self) -> None:  # asyncua's own needs a loop, and nothing of it is asked here
        self._partial = bytearray()
        self.got = b""
        self.transport: Any = _Transport()

    def _chunk(self, whole: bytes) -> None:
        self.got += whole


def chunks(data: bytes) -> None:
    """However a stream comes in pieces, whole chunks are handed on; an impossible size drops the
    connection."""
    feed = FuzzInput(data)
    cuts, stream = [feed.number(256) for _ in range(3)], feed.rest()
    protocol = _Protocol()
    for start, end in pairwise([0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]):
        protocol.data_received(stream[start:end])
        if protocol.transport.dropped:
            break
    whole, broken = _reference(stream)
    demand(
        protocol.transport.dropped == broken,
        "dropped",
        protocol.transport.dropped,
        ", expected",
        broken,
    )
    if broken:
        demand(
            stream[:whole].startswith(protocol.got), "handed on", protocol.got, "of", stream[:whole]
        )
        demand(not protocol._partial, "kept", protocol._partial)
    else:
        demand(protocol.got == stream[:whole], "handed on", protocol.got, "of", stream[:whole])
        demand(
            bytes(protocol._partial) == stream[whole:],
            "kept",
            protocol._partial,
            "of",
            stream[whole:],
        )


def _reference(stream: bytes) -> tuple[int, bool]:
    """Where the last whole chunk ends, and whether what follows has a size that no chunk has (8
    bytes to 4 MiB)."""
    at = 0
    while len(stream) >= at + 8:
        size = int.from_bytes(stream[at + 4 : at + 8], "little")
        if size < 8 or size > 4 * 1024 * 1024:
            return at, True
        if at + size > len(stream):
            break
        at += size
    return at, False


def _seeds() -> Iterable[bytes]:
    message = b"MSGF" + (24).to_bytes(4, "little") + bytes(16)
    yield bytes((7, 8, 30)) + message * 3
    yield bytes((255, 255, 255)) + message + b"ACKF" + (8).to_bytes(4, "little") + message[:9]
    for size in (0, 7, 4 << 20, (4 << 20) + 1, 0xFFFFFFFF):
        yield bytes((3, 24, 29)) + message + b"MSGF" + size.to_bytes(4, "little") + bytes(3)


TARGETS = (FuzzTarget("opcua-chunks", chunks, _seeds, 1_000_000, longest=160),)
