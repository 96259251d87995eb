"""OPC UA Read responses, against a decoder of one record at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from connectors.opcua.binary import DecodeError, data_value
from connectors.opcua.columns import Columns, walk
from connectors.opcua.messages import ServiceFault, read_response
from fuzz.target import Target, demand
from fuzz.targets._opcua import HEADER, array, plausible, records

_READ: Final = b"\x01\x00" + struct.pack("<H", 634)


def read(data: bytes) -> None:
    """A response is refused with a documented error, or each of its records is what it is when read alone."""
    for body in (data, _READ + HEADER + data):
        try:
            found = read_response(body)
        except (DecodeError, ServiceFault):
            continue
        plausible(found, handles=False)
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


def _read_seeds() -> Iterable[bytes]:
    known = list(records())
    for record in known:
        yield array([record])
        yield array([record] * 5 + known[:2], handles=True)
    yield array(known)
    yield _READ + HEADER + array(known)
    yield b"\x01\x00" + struct.pack("<H", 397) + bytes(12) + struct.pack("<I", 0x80850000) + bytes(8)


TARGETS = (Target("opcua-read", read, _read_seeds, 150_000, longest=400),)
