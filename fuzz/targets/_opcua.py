"""What the OPC UA targets share: records to begin with, and what any decoded column has to be."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from connectors.opcua.binary import UNSUPPORTED
from connectors.opcua.columns import Columns
from fuzz.target import demand

HEADER: Final = bytes(8 + 4 + 4 + 1) + b"\xff\xff\xff\xff" + bytes(3)
_SCALARS: Final = frozenset({bool, int, float, str})


def plausible(found: Columns, *, handles: bool) -> None:
    """Columns are aligned, and every value is of our model: no lists in lists, no foreign type."""
    count = len(found.values)
    demand(len(found.source) == count and len(found.handles) == (count if handles else 0), "columns of unequal length")
    demand(all(0 <= n < count and 0 < code < 2**32 for n, code in found.status.items()), "status", found.status)
    demand(all(map(_ours, found.values)), "values", found.values)


def _ours(value: Any) -> bool:
    if value is None or value is UNSUPPORTED or type(value) in _SCALARS:
        return True
    return type(value) is list and all(type(item) in _SCALARS for item in value)


def records() -> Iterable[bytes]:
    """DataValues: fixed and odd layouts, texts, arrays, nests."""
    ticks = struct.pack("<q", 134_000_000_000_000_000)
    yield b"\x0d\x0b" + struct.pack("<d", 21.5) + ticks * 2
    yield b"\x0f\x06" + struct.pack("<iI", -7, 0x40900000) + ticks * 2
    yield b"\x02" + struct.pack("<I", 0x800A0000)
    yield b"\x05\x0c" + struct.pack("<i", 5) + b"\xe4\xb8\xbb7\xff" + ticks
    yield b"\x01\x8b" + struct.pack("<i2d", 2, 1.0, 2.0)
    yield b"\x01\xc6" + struct.pack("<4ii2i", 4, 1, 2, 3, 4, 2, 2)[:24]
    yield b"\x01\x98" + struct.pack("<i", 2) + b"\x03\x07\x06" + struct.pack("<i", 9)
    yield b"\x01\x98" + struct.pack("<i", 1) + b"\x83" + struct.pack("<i", 2) + b"\x01\x02"
    yield b"\x01\x17\x01\x01\x01"
    yield b"\x01\x11\x03\x02\x00" + struct.pack("<i", 3) + b"abc"
    yield b"\x01\x16\x01\x00\x79\x03\x01" + struct.pack("<i", 4) + b"body"
    yield b"\x01\x19\x10" + struct.pack("<i", 2) + b"hi"
    yield b"\x01\x15\x03" + struct.pack("<i", 2) + b"zh" + struct.pack("<i", 2) + b"ok"


def array(records: list[bytes], *, handles: bool = False) -> bytes:
    lead = [struct.pack("<I", n) if handles else b"" for n in range(len(records))]
    return struct.pack("<i", len(records)) + b"".join(a + b for a, b in zip(lead, records, strict=True))
