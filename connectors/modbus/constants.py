"""The constants by which a device is recognised (`identify:`): what they mean, what is wrong with
them. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import Area, Constant, DataType, ModbusDevice, ModbusTag
from connectors.modbus.point import data_type, kind, resolve
from edge_agent.sdk import Problem, Tag, TagTable, Value

#: Names of the basic objects of Read Device Identification, in the order of their ids (V1.1b3,
#: 6.21).
OBJECTS: Final = ("vendor", "product", "revision")

_REGISTER_KEYS: Final = ("type", "bit", "word_order", "base", "length", "byte", "equals")

#: Least and greatest number of the integer types.
_BITS: Final = {
    "int8": 8,
    "uint8": 8,
    "int16": 16,
    "uint16": 16,
    "int32": 32,
    "uint32": 32,
    "int64": 64,
    "uint64": 64,
}
_DIGITS: Final = {"bcd16": 4, "bcd32": 8}

#: How the lack of an identification is put, in Chinese and English.
NO_IDENTIFICATION: Final = ("没有设备标识（功能码 43/14）", "no identification (function 43/14)")

Identification = Mapping[str, str]
"""`vendor`, `product`, `revision` as a device answered them; empty: it does not support function
43/14."""


def problems(device: ModbusDevice) -> Iterator[Problem]:
    """Everything wrong with the constants of a device."""
    for number, constant in enumerate(device.identify):
        try:
            _check(constant, device)
        except InvalidError as error:
            yield Problem(None, f"identify.{number}.{error.key}", error.zh, error.en)


def table_of(constant: Constant, device: str, areas: Mapping[str, Area]) -> TagTable:
    """A table with nothing but the register of a constant."""
    tag = _as_tag(constant)
    return TagTable(device, 1.0, (Tag("identify", kind(tag, areas), tag),))


def is_value(constant: Constant, value: Value) -> bool:
    """Whether this is the value that a register must have."""
    wanted = constant.equals
    if isinstance(value, str) or isinstance(wanted, str):
        return isinstance(value, str) and value.strip() == str(wanted).strip()
    if value is None or wanted is None or isinstance(value, list):
        return False
    if isinstance(value, float) and constant.type == "float32":
        return struct.pack(">f", value) == struct.pack(">f", wanted)
    return bool(value == wanted)


def is_identification(constant: Constant, found: Identification) -> bool:
    """Whether an identification is what a constant asks for."""
    wanted = texts_of(constant)
    return all(fnmatchcase(found.get(name, ""), pattern) for name, pattern in wanted.items())


def texts_of(constant: Constant) -> dict[str, str]:
    """The patterns of an identification; empty for a register."""
    texts = {name: getattr(constant, name) for name in OBJECTS}
    return {name: text for name, text in texts.items() if text is not None}


def described(found: Mapping[str, str]) -> str:
    """An identification, or the patterns for one, in one line for people."""
    return ", ".join(f"{name} {text!r}" for name, text in found.items()) or NO_IDENTIFICATION[1]


def _as_tag(constant: Constant) -> ModbusTag:
    return ModbusTag(
        address=0 if constant.address is None else constant.address,
        type=constant.type,
        bit=constant.bit,
        word_order=constant.word_order,
        base=constant.base,
        length=constant.length,
        encoding=constant.encoding,
        byte=constant.byte,
    )


def _check(constant: Constant, device: ModbusDevice) -> None:
    """Raises InvalidError."""
    texts = texts_of(constant)
    used = [key for key in _REGISTER_KEYS if getattr(constant, key) is not None]
    if texts:
        if constant.address is not None or used:
            raise InvalidError(
                next(iter(texts)),
                "一项只能写一种：寄存器（address 和 equals），或 vendor、product、revision；"
                "请分成两项。",
                "One entry states one thing: a register (address and equals), or vendor, "
                "product, revision: make two.",
            )
        return
    if constant.address is None or constant.equals is None:
        raise InvalidError(
            "address" if constant.address is not None else (used or ["equals"])[0],
            "identify 的一项须写 address 和 equals，或 vendor、product、revision 中的至少一个。",
            "An entry of identify needs address and equals, or at least one of vendor, product "
            "and revision.",
        )
    tag = _as_tag(constant)
    resolve(tag, device)
    type_ = data_type(tag, device.areas)
    if not _possible(constant, tag, type_):
        raise InvalidError(
            "equals",
            f"{constant.address} 的类型是 {type_}，不可能等于 {constant.equals!r}：请核对 type "
            "和 equals。",
            f"{constant.address} is {type_} and can never equal {constant.equals!r}: check type "
            "and equals.",
        )


def _possible(constant: Constant, tag: ModbusTag, type_: DataType) -> bool:
    wanted = constant.equals
    if type_ == "string":
        return isinstance(wanted, str) and len(wanted.encode(tag.encoding, "replace")) <= (
            tag.length or 0
        )
    if isinstance(wanted, str):
        return False
    if type_ == "bool":
        return wanted in (0, 1)
    if isinstance(wanted, bool) or wanted is None:
        return False
    if type_ in ("float32", "float64"):
        return type_ == "float64" or abs(wanted) <= 3.4028235e38
    if type_ in _DIGITS:
        return isinstance(wanted, int) and 0 <= wanted < 10 ** _DIGITS[type_]
    bits = _BITS[type_]
    low, high = (
        (0, (1 << bits) - 1) if type_.startswith("u") else (-(1 << bits - 1), (1 << bits - 1) - 1)
    )
    return isinstance(wanted, int) and low <= wanted <= high
