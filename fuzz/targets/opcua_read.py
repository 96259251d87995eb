"""OPC UA Read responses, and the arrays of records in them, against a reader written apart."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns, walk
from connectors.opcua.messages import ServiceFault, read_response
from fuzz.target import FuzzTarget, demand
from fuzz.targets import _opcua as apart

_READ: Final = b"\x01\x00" + struct.pack("<H", 634)


def read(data: bytes) -> None:
    """The first byte says what the rest is: an array of records with or without handles, a
    response, or its end."""
    form, data = (data[0] % 4 if data else 0), data[1:]
    if form < 2:
        _array(data, handles=form == 1)
        return
    body = data if form == 2 else _READ + apart.HEADER + data
    expected = _expected(body)
    try:
        found: Columns | int | None = read_response(body)
    except DecodeError:
        found = None
    except ServiceFault as fault:
        found = fault.code
    if isinstance(expected, int) or isinstance(found, int):
        demand(found == expected, "fault", found, ", the response says", expected)
    else:
        apart.compare(found, expected)


def _expected(body: bytes) -> Columns | int | None:
    try:
        return apart.read(body)
    except apart.BrokenError:
        return None
    except apart.FaultError as fault:
        return int(fault.args[0])


def _array(data: bytes, *, handles: bool) -> None:
    try:
        found, end = walk(data, 0, handles)
    except DecodeError:
        found, end = None, 0
    cursor = apart.Cursor(data)
    try:
        expected = apart.items(cursor, handles=handles)
    except apart.BrokenError:
        expected = None
    apart.compare(found, expected)
    demand(found is None or end == cursor.at, "the runs end at", end, ", the records at", cursor.at)


def _seeds() -> Iterable[bytes]:
    known = list(apart.records())
    for record in known:
        yield b"\0" + apart.array([record])
        yield b"\1" + apart.array([record] * 5 + known[:2], handles=True)
    yield b"\0" + apart.array(known)
    yield b"\2" + _READ + apart.HEADER + apart.array(known)
    yield b"\3" + apart.array(known[:3])
    yield (
        b"\2\x01\x00"
        + struct.pack("<H", 397)
        + bytes(12)
        + struct.pack("<I", 0x80850000)
        + bytes(8)
    )


TARGETS = (FuzzTarget("opcua-read", read, _seeds, 500_000, longest=300),)
