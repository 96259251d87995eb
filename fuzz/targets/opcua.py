"""OPC UA Read and Publish responses, against a decoder of one record at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from connectors.opcua.binary import UNSUPPORTED, DecodeError, data_value
from connectors.opcua.columns import Columns, walk
from connectors.opcua.messages import ServiceFault, publish_response, read_response
from fuzz.target import Target, demand

_READ: Final = b"\x01\x00" + struct.pack("<H", 634)
_PUBLISH: Final = b"\x01\x00" + struct.pack("<H", 829)
_HEADER: Final = bytes(8 + 4 + 4 + 1) + b"\xff\xff\xff\xff" + bytes(3)
_SCALARS: Final = frozenset({bool, int, float, str})


def read(data: bytes) -> None:
    """A response is refused with a documented error, or each of its records is what it is when read alone."""
    for body in (data, _READ + _HEADER + data):
        try:
            found = read_response(body)
        except (DecodeError, ServiceFault):
            continue
        _plausible(found, handles=False)
        demand(len(found.values) <= len(body), "more values than bytes")
    for handles in (False, True):
        _walk(data, handles)


def _walk(data: bytes, handles: bool) -> None:
    try:
        found, end = walk(data, 0, handles)
    except DecodeError:
        found, end = None, 0
    expected = _one_by_one(data, handles)
    demand((found is None) == (expected is None), "runs", found, ", one by one", expected)
    if found is not None and expected is not None:
        demand(_same(found, expected[0]), "runs", found, ", one by one", expected[0])
        demand(end == expected[1], "the runs end at", end, ", the records at", expected[1])


def _same(ours: Columns, theirs: Columns) -> bool:
    """Equal in values and types. Only NaN, which equals nothing, needs the slow way."""
    if ours == theirs:
        return list(map(type, ours.values)) == list(map(type, theirs.values))
    return repr(ours) == repr(theirs)


def _one_by_one(data: bytes, handles: bool) -> tuple[Columns, int] | None:
    """The same array without runs; None when any record of it is broken."""
    if len(data) < 4 or (count := int.from_bytes(data[:4], "little", signed=True)) > len(data) - 4:
        return None
    out, pos = Columns(), 4
    for n in range(count):
        if handles:
            if pos + 4 > len(data):
                return None
            out.handles.append(int.from_bytes(data[pos : pos + 4], "little"))
            pos += 4
        try:
            value, status, source, pos = data_value(data, pos)
        except DecodeError:
            return None
        out.values.append(value)
        out.source.append(source)
        if status:
            out.status[n] = status
    return out, pos


def _plausible(found: Columns, *, handles: bool) -> None:
    """Columns are aligned, and every value is of our model: no lists in lists, no foreign type."""
    count = len(found.values)
    demand(len(found.source) == count and len(found.handles) == (count if handles else 0), "columns of unequal length")
    demand(all(0 <= n < count and 0 < code < 2**32 for n, code in found.status.items()), "status", found.status)
    demand(all(map(_ours, found.values)), "values", found.values)


def _ours(value: Any) -> bool:
    if value is None or value is UNSUPPORTED or type(value) in _SCALARS:
        return True
    return type(value) is list and all(type(item) in _SCALARS for item in value)


def publish(data: bytes) -> None:
    """A PublishResponse is refused with a documented error or its columns are aligned and of our model."""
    for body in (data, _PUBLISH + _HEADER + data):
        try:
            found = publish_response(body)
        except (DecodeError, ServiceFault):
            continue
        demand(0 <= found.subscription < 2**32 and 0 <= found.sequence < 2**32, "numbers beyond 32 bits")
        demand(4 * len(found.available) <= len(body), "more sequence numbers than bytes")
        demand(found.ended is None or 0 <= found.ended < 2**32, "ended with", found.ended)
        if found.changes is not None:
            demand(found.data, "data in a keep-alive")
            _plausible(found.changes, handles=True)


def _records() -> Iterable[bytes]:
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


def _array(records: list[bytes], *, handles: bool = False) -> bytes:
    lead = [struct.pack("<I", n) if handles else b"" for n in range(len(records))]
    return struct.pack("<i", len(records)) + b"".join(a + b for a, b in zip(lead, records, strict=True))


def _read_seeds() -> Iterable[bytes]:
    records = list(_records())
    for record in records:
        yield _array([record])
        yield _array([record] * 5 + records[:2], handles=True)
    yield _array(records)
    yield _READ + _HEADER + _array(records)
    yield b"\x01\x00" + struct.pack("<H", 397) + bytes(12) + struct.pack("<I", 0x80850000) + bytes(8)


def _publish_seeds() -> Iterable[bytes]:
    for record in _records():
        change = _array([record] * 2, handles=True)
        notification = b"\x01\x00\x2b\x03\x01" + struct.pack("<i", len(change)) + change
        head = struct.pack("<Ii2IBIq", 7, 2, 1, 2, 0, 3, 0)
        yield head + struct.pack("<i", 1) + notification
        yield head + struct.pack("<i", 2) + notification * 2
    ended = b"\x01\x00\x34\x03\x01" + struct.pack("<iI", 5, 0x80000000) + b"\0"
    yield struct.pack("<IiBIqi", 7, 0, 0, 3, 0, 1) + ended


TARGETS = (
    Target("opcua-read", read, _read_seeds, 150_000, longest=400),
    Target("opcua-publish", publish, _publish_seeds, 600_000, longest=400),
)
