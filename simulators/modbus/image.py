"""The memory of one simulated unit: which addresses exist, and what they hold at the present
moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from simulators.behaviours.base import SignalValue
from simulators.device import SimulatedDevice, is_counter
from simulators.modbus.encode import (
    NumberCodec,
    check,
    encode_text,
    limits,
    sentinel,
    size_in_bytes,
)
from simulators.spec import SpecError, TagSpec

PADDING: Final = 64
"""Gaps up to this many addresses read as zero unless the device is strict: real maps have reserved
registers."""


@dataclass(slots=True)
class RegisterBlock:
    """Contiguous addresses: two bytes each for registers, one (0 or 1) each for bits."""

    start: int
    count: int
    data: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class TagAddresses:
    """Where a tag lies: object, first address, number of addresses."""

    object: str
    address: int
    count: int


def is_bits(name: str) -> bool:
    """Whether an object holds single bits."""
    return name in ("coil", "discrete")


def span(tag: TagSpec) -> TagAddresses:
    """The addresses of a tag. Raises SpecError."""
    kind = check(tag)
    where = tag.where
    address = int(where["address"])
    count = int(where.get("count") or 1)
    name = str(where["object"])
    if is_bits(name):
        return TagAddresses(name, address, count)
    if kind == "bool":
        return TagAddresses(name, address, (int(where.get("bit") or 0) + count + 15) // 16)
    if kind == "string":
        return TagAddresses(name, address, (int(where.get("length") or 2) + 1) // 2)
    return TagAddresses(name, address, max(1, count * size_in_bytes(kind) // 2))


def modulus(tag: TagSpec) -> tuple[float, float] | None:
    """Where a tag's counter wraps, and its resolution, in engineering units; None for floats, texts
    and bits."""
    kind = check(tag)
    bounds = None if kind in ("bool", "string") else limits(kind)
    return None if bounds is None else (tag.scale * (bounds[1] + 1), tag.scale)


class RegisterImage:
    """All blocks of one unit, rewritten when a request finds that time has gone on."""

    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device
        tags = device.spec.tags
        self._spans = [span(tag) for tag in tags]
        self._blocks = _blocks(self._spans, 0 if device.spec.strict else PADDING)
        self._writers = [
            self._writer(tag, where) for tag, where in zip(tags, self._spans, strict=True)
        ]
        self._version = -1

    def read(self, name: str, address: int, count: int) -> memoryview | None:
        """The bytes of `count` addresses, or None when one of them does not exist."""
        block = self._find(name, address, count)
        if block is None or self._refused(name, address, count):
            return None
        self._refresh()
        width = 1 if is_bits(name) else 2
        first = (address - block.start) * width
        return memoryview(block.data)[first : first + count * width]

    def _find(self, name: str, address: int, count: int) -> RegisterBlock | None:
        for block in self._blocks.get(name, ()):
            if block.start <= address and address + count <= block.start + block.count:
                return block
        return None

    def _refused(self, name: str, address: int, count: int) -> bool:
        """Whether an `illegal_address` fault covers one of the addresses."""
        fault = self.device.board.active("illegal_address")
        if fault is None or not fault.tags:
            return fault is not None
        return any(
            where.object == name
            and where.address < address + count
            and address < where.address + where.count
            for tag, where in zip(self.device.spec.tags, self._spans, strict=True)
            if tag.name in fault.tags
        )

    def _refresh(self) -> None:
        values = self.device.values()
        if self._version == self.device.version:
            return
        self._version = self.device.version
        for blocks in self._blocks.values():
            for block in blocks:
                block.data[:] = bytes(len(block.data))
        for write, value in zip(self._writers, values, strict=True):
            write(value)

    def _writer(self, tag: TagSpec, where: TagAddresses) -> Callable[[SignalValue], None]:
        block = self._find(where.object, where.address, where.count)
        assert block is not None  # noqa: S101 - blocks are made from the spans
        first = where.address - block.start
        if is_bits(where.object):
            return lambda value: _write_bits(block.data, first, value, where.count)
        kind = check(tag)
        if kind == "bool":
            bit = int(tag.where.get("bit") or 0)
            count = int(tag.where.get("count") or 1)
            swapped = str(tag.where.get("word_order")).upper() in ("BADC", "DCBA")
            return lambda value: _write_register_bits(
                block.data, 2 * first, bit, value, count, swapped
            )
        if kind == "string":
            return self._text_writer(tag, block, 2 * first)
        low_byte = size_in_bytes(kind) == 1 and tag.where.get("byte") == "low"
        return self._number_writer(tag, block, 2 * first + low_byte)

    def _text_writer(
        self, tag: TagSpec, block: RegisterBlock, offset: int
    ) -> Callable[[SignalValue], None]:
        length = int(tag.where.get("length") or 2)
        encoding, order = (
            str(tag.where.get("encoding") or "ascii"),
            str(tag.where.get("word_order") or "ABCD").upper(),
        )
        board = self.device.board

        def write(value: SignalValue) -> None:
            used = "gbk" if board.hits("gbk_names", tag.name) else encoding
            data = encode_text(str(value), length, used, order)
            block.data[offset : offset + len(data)] = data

        return write

    def _number_writer(
        self, tag: TagSpec, block: RegisterBlock, offset: int
    ) -> Callable[[SignalValue], None]:
        codec = NumberCodec(tag, is_counter(tag))
        board = self.device.board
        name = tag.name
        count = int(tag.where.get("count") or 1)

        def write(value: SignalValue) -> None:
            if board.hits("nan", name) or board.hits("sentinel", name):
                data = codec.encode_raw(sentinel(codec.kind)) * count
            else:
                swapped = board.hits("word_swap", name)
                data = b"".join(codec.encode(item, swapped) for item in _items(value, count))
            block.data[offset : offset + len(data)] = data

        return write


def _items(value: SignalValue, count: int) -> list[SignalValue]:
    """The values of an array tag; a single value fills it."""
    items: list[SignalValue] = [*value] if isinstance(value, list) else [value]
    return (items * count)[:count]


def _write_bits(data: bytearray, first: int, value: SignalValue, count: int) -> None:
    for i, item in enumerate(_items(value, count)):
        data[first + i] = bool(item)


def _write_register_bits(
    data: bytearray, offset: int, bit: int, value: SignalValue, count: int, swapped: bool
) -> None:
    """Set bits without touching their neighbours: bit 0 is the least significant of the first
    register."""
    for i, item in enumerate(_items(value, count)):
        word, place = divmod(bit + i, 16)
        byte = (1 if place < 8 else 0) ^ swapped
        if item:
            data[offset + 2 * word + byte] |= 1 << place % 8


def _blocks(spans: Iterable[TagAddresses], padding: int) -> dict[str, list[RegisterBlock]]:
    """Merge spans that touch, or lie no more than `padding` addresses apart, per object."""
    out: dict[str, list[RegisterBlock]] = {}
    for item in sorted(spans, key=lambda item: (item.object, item.address)):
        if item.address < 0 or item.address + item.count > 65536:
            raise SpecError(f"地址超出 0..65535：{item} / address outside 0..65535: {item}")
        blocks = out.setdefault(item.object, [])
        if blocks and item.address <= blocks[-1].start + blocks[-1].count + padding:
            blocks[-1].count = max(blocks[-1].count, item.address + item.count - blocks[-1].start)
        else:
            blocks.append(RegisterBlock(item.address, item.count))
    for name, blocks in out.items():
        for block in blocks:
            block.data = bytearray(block.count * (1 if is_bits(name) else 2))
    return out
