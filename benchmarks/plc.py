"""A Modbus TCP server that answers from canned bytes, so that it is never the limit.

Every reply carries registers from a block of random bytes at an offset that moves with each
request, so every value changes with every read. `python -m benchmarks.plc COUNT DELAY_MS` prints
the ports it listens on, then the totals for each line of stdin; it ends when stdin closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys

#: Random float32 values in [1, 2), and [2, 4) from an odd register on: no register offset gives a
#: denormal number, which would be uncertain.
_BLOCK = b"".join(struct.pack(">HH", 0x3F80 | byte & 0x7F, 0x4000) for byte in os.urandom(4096))
_HEADER = struct.Struct(">HHHBBHH")

_MOST_REGISTERS = 125

totals: dict[str, int | str] = {"requests": 0, "malformed": ""}


class Plc(asyncio.Protocol):
    """Answers function 3 and 4; one object a connection."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = b""
        self._turn = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        replies = []
        while len(buffer) >= 12:
            tid, protocol, _, unit, function, _, count = _HEADER.unpack_from(buffer)
            if protocol or function not in (3, 4) or not 1 <= count <= _MOST_REGISTERS:
                # Told, and no figure comes of it: either the agent is broken or somebody else talks
                # to this port.
                totals["malformed"] = buffer[:32].hex()
                self._transport.abort()
                return
            buffer = buffer[12:]
            self._turn = (self._turn + 1) % 1000
            start = 4 * self._turn
            size = 2 * count
            replies.append(
                struct.pack(">HHHBBB", tid, 0, 3 + size, unit, function, size)
                + _BLOCK[start : start + size]
            )
        self._buffer = buffer
        totals["requests"] = int(totals["requests"]) + len(replies)
        if replies and self._delay:
            asyncio.get_running_loop().call_later(
                self._delay, self._transport.write, b"".join(replies)
            )
        elif replies:
            self._transport.write(b"".join(replies))


async def main(count: int, delay: float) -> None:
    """Listen on `count` free ports until stdin closes."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: Plc(delay), "127.0.0.1", 0) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(totals), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
