"""The block decoder of Modbus: any layout of tags over any registers, against one tag at a time,
byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, get_args

from connectors.modbus.codec import BlockDecoder
from connectors.modbus.options import ByteOrder, DataType
from connectors.modbus.point import HALVES, WORDS, Point
from edge_agent.model import STATUS, Value
from fuzz.target import FuzzInput, FuzzTarget, demand

_TYPES: Final = (*WORDS, "string", "bool")
_ORDERS: Final[tuple[ByteOrder, ...]] = get_args(ByteOrder)
_ENCODINGS: Final = ("ascii", "utf-8", "gbk", "utf-16-be", "latin-1", "shift_jis")
_START: Final = 1000
_WIDTH: Final = 5
"""Bytes that describe a point."""
BAD: Final = STATUS["BadDecodingError"]
DOUBTFUL: Final = STATUS["Uncertain"]
#: Below these a float is denormal.
_NORMAL: Final = {"float32": 2.0**-126, "float64": 2.0**-1022}


def block(data: bytes) -> None:
    """Every value is what its own registers say; what they cannot say is bad and has no value."""
    count = 1 + (data[0] % 4 if data else 0)
    end = 1 + _WIDTH * count
    points, size, decoder = _layout(data[1:end])
    registers = data[end : end + 2 * size].ljust(2 * size, b"\0")
    values: list[Value] = ["untouched"] * len(points)
    status: dict[int, int] = {}
    decoder.decode(registers, values, status)
    for n, point in enumerate(points):
        expected, doubtful = _reference(point, registers)
        demand(_same(values[n], expected), point, ":", values[n], ", the registers say", expected)
        bad = BAD if expected is None else DOUBTFUL if doubtful else None
        demand(status.get(n) == bad, point, ": status", status.get(n))


@lru_cache(maxsize=1024)
def _layout(data: bytes) -> tuple[list[Point], int, BlockDecoder]:
    """The points, how many registers they take, and their decoder: most mutations only change the
    registers."""
    points = [_point(data[at : at + _WIDTH]) for at in range(0, max(len(data), 1), _WIDTH)]
    size = max(point.end for point in points) - _START
    return points, size, BlockDecoder(_START, size, list(enumerate(points)))


@lru_cache(maxsize=16384)
def _point(data: bytes) -> Point:
    """A point as `point.resolve` makes them: a single register and a text only know a swap within
    the word."""
    feed = FuzzInput(data)
    type_: DataType = _TYPES[feed.number(len(_TYPES))]
    order, address = _ORDERS[feed.number(4)], _START + feed.number(16)
    if WORDS.get(type_, 1) == 1:
        order = "BADC" if order in ("BADC", "DCBA") else "ABCD"
    if type_ in HALVES:
        return Point("holding", address, 1, type_, low_byte=bool(feed.number(2)))
    if type_ == "string":
        length = 1 + feed.number(20)
        encoding = _ENCODINGS[feed.number(len(_ENCODINGS))]
        return Point(
            "holding", address, (length + 1) // 2, type_, order, length=length, encoding=encoding
        )
    if type_ == "bool":
        bit = feed.number(17)
        if bit == 16:
            return Point("holding", address, 1, type_, order)
        count = 1 + feed.number(40)
        return Point(
            "holding", address, (bit + count + 15) // 16, type_, order, bit=bit, count=count
        )
    count = 1 + feed.number(4)
    return Point("holding", address, WORDS[type_] * count, type_, order, count=count)


def _reference(point: Point, registers: bytes) -> tuple[Any, bool]:
    """The value of one point, None when its bytes have none, and whether it is doubtful."""
    first = 2 * (point.address - _START)
    data = registers[first : first + 2 * point.size]
    if point.type == "string":
        return _text(point, _big_endian(data, point.order))
    if point.type in HALVES:
        half = data[1:2] if point.low_byte else data[:1]
        return int.from_bytes(half, "big", signed=point.type == "int8"), False
    if point.type == "bool":
        words = [
            int.from_bytes(_big_endian(data[n : n + 2], point.order), "big")
            for n in range(0, len(data), 2)
        ]
        if point.bit is None:
            return words[0] != 0, False
        bits = [
            bool(words[n // 16] & 1 << n % 16) for n in range(point.bit, point.bit + point.count)
        ]
        return (bits if point.count > 1 else bits[0]), False
    width = 2 * WORDS[point.type]
    numbers = [
        _number(point, _big_endian(data[n : n + width], point.order))
        for n in range(0, len(data), width)
    ]
    if None in numbers:
        return None, False
    limit = _NORMAL.get(point.type, 0.0)
    doubtful = any(number != 0 and abs(number) < limit for number in numbers)
    return (numbers if point.count > 1 else numbers[0]), doubtful


def _big_endian(data: bytes, order: ByteOrder) -> bytes:
    """What the order means, in bytes: ABCD as it is, DCBA reversed, BADC bytes swapped, CDAB words
    reversed."""
    if order in ("CDAB", "DCBA"):
        data = data[::-1]
    if order in ("BADC", "CDAB"):
        swapped = bytearray(data)
        swapped[::2], swapped[1::2] = data[1::2], data[::2]
        data = bytes(swapped)
    return data


def _number(point: Point, data: bytes) -> int | float | None:
    if point.type.startswith("float"):
        return float(struct.unpack(">f" if len(data) == 4 else ">d", data)[0])
    if point.type.startswith("bcd"):
        return int(data.hex()) if data.hex().isdigit() else None
    return int.from_bytes(data, "big", signed=point.type.startswith("int"))


def _text(point: Point, data: bytes) -> tuple[str | None, bool]:
    """The text up to its first NUL, without NULs in front and spaces around; doubtful with more
    text behind it."""
    data = data[: point.length]
    wide = point.encoding.startswith("utf-16")
    behind = b""
    if not wide:
        while data[:1] == b"\0":
            data = data[1:]
        data, behind = data.split(b"\0")[0], data
        behind = behind[len(data) :]
    try:
        found = data.decode(point.encoding)
    except UnicodeDecodeError:
        return None, False
    while found[:1] == "\0":
        found = found[1:]
    text, *rest = found.split("\0")
    more = any(chr(byte).isascii() and chr(byte).isalnum() for byte in behind)
    return text.strip(" "), more or any(character.isalnum() for part in rest for character in part)


def _same(ours: object, theirs: object) -> bool:
    """Equal in type and value; NaN equals itself."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return type(ours) is type(theirs) and (ours == theirs or (ours != ours and theirs != theirs))


def _seeds() -> Iterable[bytes]:
    for order in range(4):
        kinds = [
            bytes((kind, order, 2 * kind % 16, kind % 4, 0)) for kind in range(len(_TYPES) - 2)
        ]
        yield bytes((3,)) + b"".join(kinds[:4]) + bytes(range(64))
        yield bytes((3,)) + b"".join(kinds[4:8]) + bytes(range(64))
        yield bytes((3,)) + b"".join(kinds[-4:]) + bytes.fromhex("1234567899999a00") * 4
    texts = bytes((len(WORDS), 0, 0, 9, 1)) + bytes((len(WORDS), 1, 5, 9, 2))
    yield bytes((1,)) + texts + "主轴".encode() * 4 + b"\0\xff"
    bits = bytes((len(WORDS) + 1, 1, 0, 3, 20)) + bytes((len(WORDS) + 1, 0, 1, 16, 0))
    yield bytes((1,)) + bits + bytes.fromhex("12A40FF0")


TARGETS = (FuzzTarget("modbus-block", block, _seeds, 600_000, longest=100),)
