"""A tag and its device, resolved: the one description of a value in a device that planner and codec
work from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from connectors.modbus.address import POINTS, Location, locate, names_bit
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import (
    Area,
    ByteOrder,
    DataType,
    ModbusDevice,
    ModbusTag,
    ObjectName,
    byte_order,
)
from edge_agent.sdk import Kind

#: Registers of one value of a type.
WORDS: Final[dict[DataType, int]] = {
    "int8": 1,
    "uint8": 1,
    "int16": 1,
    "uint16": 1,
    "bcd16": 1,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "bcd32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
}

NulRule = Literal["uncertain", "end", "skip"]

#: Types of one byte, half of a register.
HALVES: Final[frozenset[DataType]] = frozenset({"int8", "uint8"})

_KINDS: Final[dict[DataType, Kind]] = {
    "bool": "bool",
    "float32": "float",
    "float64": "float",
    "string": "text",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One tag's place and shape on the wire."""

    object: ObjectName
    address: int
    """PDU address of its first register or bit."""
    size: int
    """Registers, or bits for coils and discrete inputs."""
    type: DataType
    order: ByteOrder = "ABCD"
    bit: int | None = None
    """First bit of a bool in registers; None: the register is not 0."""
    count: int = 1
    length: int | None = None
    """Bytes of a string."""
    encoding: str = "ascii"
    nul: NulRule = "uncertain"
    """What a NUL byte within a string means."""
    low_byte: bool = False
    """Of int8 and uint8: the second byte of the register."""

    @property
    def end(self) -> int:
        """The address behind the last one."""
        return self.address + self.size


def is_bits(table: ObjectName) -> bool:
    """Whether a table holds single bits."""
    return table in ("coil", "discrete")


def is_wide_number(point: Point) -> bool:
    """Whether this is one number of several registers, which may be read in parts and checked for
    consistency."""
    return point.count == 1 and WORDS.get(point.type, 1) > 1


def data_type(tag: ModbusTag, areas: Mapping[str, Area]) -> DataType:
    """The type of a tag, stated or by its address: what lies in an area of bits is a bool."""
    if tag.type is not None:
        return tag.type
    return "bool" if tag.bit is not None or names_bit(tag.address, areas) else "uint16"


def kind(tag: ModbusTag, areas: Mapping[str, Area]) -> Kind:
    """The shape of a tag's values."""
    return "array" if tag.count > 1 else _KINDS.get(data_type(tag, areas), "int")


def resolve(tag: ModbusTag, device: ModbusDevice) -> Point:
    """The point of a tag. Raises InvalidError for what the device cannot have or one request cannot
    carry."""
    location = locate(tag.address, device.base if tag.base is None else tag.base, device.areas)
    point = _bits(tag, location) if is_bits(location.object) else _registers(tag, location, device)
    if point.end > POINTS:
        raise InvalidError(
            "address",
            f"地址 {tag.address} 起的 {point.size} 个点超出 65535：请核对地址、类型和 count。",
            f"The {point.size} points from {tag.address} run beyond 65535: check address, type "
            "and count.",
        )
    limit, key = (
        (device.max_bits, "max_bits")
        if is_bits(point.object)
        else (device.max_registers, "max_registers")
    )
    if point.size > limit and not is_wide_number(point):
        raise InvalidError(
            "count" if tag.count > 1 else "address",
            f"该标签需一次读 {point.size} 个点，而 {key} 为 {limit}：分次读取会撕裂数值；"
            f"请拆成几个标签或调大 {key}。",
            f"The tag takes {point.size} points in one request, but {key} is {limit}; read in "
            "parts it would tear: "
            f"make several tags of it or raise {key}.",
        )
    return point


def _bits(tag: ModbusTag, location: Location) -> Point:
    if tag.type not in (None, "bool") or tag.bit is not None:
        raise InvalidError(
            "type" if tag.bit is None else "bit",
            f"{tag.address} 是线圈或离散输入，只有一位：请去掉 "
            f"{'type' if tag.bit is None else 'bit'}。",
            f"{tag.address} is a coil or discrete input, a single bit: remove "
            f"{'type' if tag.bit is None else 'bit'}.",
            certain=True,
        )
    _no_string_keys(tag, "bool")
    return Point(location.object, location.address, tag.count, "bool", count=tag.count)


def _registers(tag: ModbusTag, location: Location, device: ModbusDevice) -> Point:
    type_ = data_type(tag, device.areas)
    order = byte_order(tag.word_order or device.word_order)
    if type_ == "string":
        return _string(tag, location, order)
    _no_string_keys(tag, type_)
    bit = _bit(tag, location, type_)
    if type_ == "bool":
        bit = 0 if bit is None and tag.count > 1 else bit
        size = 1 if bit is None else (bit + tag.count + 15) // 16
        return Point(
            location.object, location.address, size, type_, _within_word(order), bit, tag.count
        )
    if type_ in HALVES:
        return _half(tag, location, type_)
    if tag.byte is not None:
        raise InvalidError(
            "byte",
            f"byte 只用于 int8 和 uint8（半个寄存器）；这里的类型是 {type_}。",
            f"byte belongs to int8 and uint8, halves of a register; this tag is {type_}.",
            certain=True,
        )
    size = WORDS[type_] * tag.count
    order = _within_word(order) if WORDS[type_] == 1 else order
    return Point(location.object, location.address, size, type_, order, count=tag.count)


def _half(tag: ModbusTag, location: Location, type_: DataType) -> Point:
    if tag.byte is None or tag.count > 1:
        raise InvalidError(
            "byte",
            f"{type_} 是半个寄存器：请写 byte: high 或 byte: low，且不写 count。",
            f"{type_} is half of a register: write byte: high or byte: low, and no count.",
            certain=True,
        )
    return Point(location.object, location.address, 1, type_, low_byte=tag.byte == "low")


def _within_word(order: ByteOrder) -> ByteOrder:
    """All that a word order means for a single register and for text: whether its two bytes are
    swapped."""
    return "BADC" if order in ("BADC", "DCBA") else "ABCD"


def _bit(tag: ModbusTag, location: Location, type_: DataType) -> int | None:
    if location.bit is not None and tag.bit is not None and location.bit != tag.bit:
        raise InvalidError(
            "bit",
            f"地址 {tag.address} 已写明位 {location.bit}，而 bit 为 {tag.bit}：请只保留一处。",
            f"The address {tag.address} says bit {location.bit} but bit says {tag.bit}: keep one "
            "of them.",
            certain=True,
        )
    bit = location.bit if tag.bit is None else tag.bit
    if bit is not None and type_ != "bool":
        raise InvalidError(
            "type",
            f"{tag.address} 取寄存器的第 {bit} 位，类型须为 bool，而不是 {type_}。",
            f"{tag.address} names bit {bit} of a register: its type must be bool, not {type_}.",
            certain=True,
        )
    return bit


def _string(tag: ModbusTag, location: Location, order: ByteOrder) -> Point:
    if tag.length is None or tag.count > 1 or tag.bit is not None or location.bit is not None:
        raise InvalidError(
            "length",
            "字符串标签须写 length（字节数，每个寄存器两个字节），且没有 bit 和 count。",
            "A string needs length (bytes, two in each register), and has no bit and no count.",
            certain=True,
        )
    try:
        "a".encode(tag.encoding)
    except (LookupError, ValueError):
        raise InvalidError(
            "encoding",
            f"没有 {tag.encoding} 这种编码：常用的是 ascii、utf-8、gbk、utf-16-be。",
            f"There is no encoding {tag.encoding}: usual are ascii, utf-8, gbk, utf-16-be.",
            certain=True,
        ) from None
    return Point(
        location.object, location.address, (tag.length + 1) // 2, "string", _within_word(order),
        length=tag.length, encoding=tag.encoding, nul=tag.nul,
    )  # fmt: skip


def _no_string_keys(tag: ModbusTag, type_: DataType) -> None:
    if tag.length is not None:
        raise InvalidError(
            "length",
            f"length 只用于 type: string；这里的类型是 {type_}。",
            f"length belongs to type: string; this tag is {type_}.",
            certain=True,
        )
