"""From engineering values to the bytes of registers: types, byte orders, text, BCD."""

from __future__ import annotations

import struct
from math import isfinite, nan
from typing import Final

from simulators.behaviours.base import SignalValue, number
from simulators.spec import SpecError, TagSpec

_FORMATS: Final = {
    "int8": ">b", "uint8": ">B", "int16": ">h", "uint16": ">H",
    "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip
_HALVES: Final = frozenset({"int8", "uint8"})
_BCD_DIGITS: Final = {"bcd16": 4, "bcd32": 8}
TYPES: Final = frozenset({*_FORMATS, *_BCD_DIGITS, "bool", "string"})


def size_in_bytes(kind: str) -> int:
    """Bytes of one value of a numeric type."""
    return _BCD_DIGITS[kind] // 2 if kind in _BCD_DIGITS else struct.calcsize(_FORMATS[kind])


def limits(kind: str) -> tuple[int, int] | None:
    """Least and greatest raw integer of a type; None for floats."""
    if kind in _BCD_DIGITS:
        return 0, 10 ** _BCD_DIGITS[kind] - 1
    if kind.startswith("float"):
        return None
    bits = 8 * size_in_bytes(kind)
    return (0, (1 << bits) - 1) if kind.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def sentinel(kind: str) -> float:
    """What a device of this type sends for 'no value': all ones, the greatest signed number, or
    NaN."""
    bounds = limits(kind)
    return nan if bounds is None else bounds[1]


def arrange(data: bytes, order: str) -> bytes:
    """Big-endian bytes in wire order. Letters name the bytes as they come: DCBA all reversed, BADC
    swapped within each register, CDAB registers reversed; of a single register only the swap is
    left (BADC and DCBA)."""
    if order == "ABCD":
        return data
    if order == "DCBA":
        return data[::-1]
    if order == "CDAB":
        return b"".join(data[i : i + 2] for i in range(len(data) - 2, -1, -2))
    return swap_bytes(data)


def swap_bytes(data: bytes) -> bytes:
    """The two bytes of every register exchanged."""
    out = bytearray(data)
    out[0::2], out[1::2] = data[1::2], data[0::2]
    return bytes(out)


class NumberCodec:
    """One numeric tag: `raw = (value - offset) / scale`, rounded, wrapped (counters) or held at its
    limits."""

    def __init__(self, tag: TagSpec, counter: bool) -> None:
        self.kind = str(tag.where.get("type") or "uint16")
        self.order = str(tag.where.get("word_order") or "ABCD").upper()
        self.tag = tag
        self.counter = counter
        self.bounds = limits(self.kind)
        self._format = _FORMATS.get(self.kind)

    def encode(self, value: SignalValue, swapped: bool = False) -> bytes:
        """The wire bytes of an engineering value; `swapped` exchanges the two halves of a
        multi-register value."""
        raw = number(value)
        if isfinite(raw):
            raw = (raw - self.tag.offset) / self.tag.scale
        return self.encode_raw(raw, swapped)

    def encode_raw(self, raw: float, swapped: bool = False) -> bytes:
        """The wire bytes of a raw number."""
        data = self._pack(raw)
        if swapped and len(data) > 2:
            data = arrange(data, "CDAB")
        return data if self.kind in _HALVES else arrange(data, self.order)

    def _pack(self, raw: float) -> bytes:
        if self.bounds is None:
            assert self._format is not None  # noqa: S101 - floats have a format
            return struct.pack(self._format, raw)
        low, high = self.bounds
        whole = round(raw) if isfinite(raw) else int(sentinel(self.kind))
        if self.counter and whole > high:
            whole = low + (whole - low) % (high - low + 1)
        whole = max(low, min(high, whole))
        if self._format is None:
            digits = f"{whole:0{_BCD_DIGITS[self.kind]}d}"
            return bytes.fromhex(digits)
        return struct.pack(self._format, whole)


def encode_text(text: str, length: int, encoding: str, order: str) -> bytes:
    """Text in registers, padded with NUL to `length` bytes; what does not fit is cut at a whole
    character."""
    data = text.encode(encoding, "replace")
    while len(data) > length:
        text = text[:-1]
        data = text.encode(encoding, "replace")
    data = data.ljust(length + length % 2, b"\0")
    return swap_bytes(data) if order in ("BADC", "DCBA") else data


def check(tag: TagSpec) -> str:
    """The tag's type. Raises SpecError for one that cannot be served."""
    where = tag.where
    bits = where.get("object") in ("coil", "discrete")
    kind = str(where.get("type") or ("bool" if bits or where.get("bit") is not None else "uint16"))
    if kind not in TYPES or where.get("object") not in ("coil", "discrete", "input", "holding"):
        what = f"{where.get('object')}/{kind}"
        raise SpecError(
            f"标签 {tag.name}：无法模拟 {what} / tag {tag.name}: cannot simulate {what}"
        )
    return kind
