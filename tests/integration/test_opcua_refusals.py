"""A server that refuses the secure channel by a ServiceFault in the place of the answer, as
node-opcua does."""

from __future__ import annotations

import asyncio
import struct

import pytest

from connectors.opcua.endpoints import scan
from edge_agent.discovery import ScanAnswer, ScanWanted
from tests.support.aio import run

_NONE = b"http://opcfoundation.org/UA/SecurityPolicy#None"
_NULL = b"\xff\xff\xff\xff"


def acknowledge() -> bytes:
    """The answer to Hello."""
    return struct.pack("<4sIIIIII", b"ACKF", 28, 0, 65536, 65536, 0, 0)


def fault(request: bytes, code: int) -> bytes:
    """A ServiceFault in an OPN message that answers one without security."""
    at = 12 + 4 + len(_NONE) + 8
    (number,) = struct.unpack_from("<I", request, at + 4)
    header = struct.pack("<qII", 0, 1, code) + b"\x00" + _NULL + b"\x00\x00\x00"
    security = struct.pack("<I", len(_NONE)) + _NONE + _NULL + _NULL
    rest = (
        struct.pack("<I", 1)
        + security
        + struct.pack("<II", 1, number)
        + b"\x01\x00\x8d\x01"
        + header
    )
    return struct.pack("<4sI", b"OPNF", 8 + len(rest)) + rest


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (0x80130000, "does not accept our certificate"),
        (0x80550000, "does not offer this security policy"),
    ],
)
def test_a_channel_that_is_refused_by_a_fault_says_why(code: int, says: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(acknowledge())
        writer.write(fault(await reader.read(4096), code))
        await reader.read(4096)
        writer.close()

    async def scenario() -> ScanAnswer:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            (found,) = [
                one async for one in scan(ScanWanted([f"127.0.0.1:{port}"]), lambda *_: None)
            ]
            return found

    found = run(scenario())
    assert not found.device
    assert says in found.en
    assert "AssertionError" not in found.en
