"""Addresses as integrators write them -> one of the four tables, a 0-based PDU address, and perhaps
a bit.

- `holding/100`, `input/0x10`, `coil/5`, `discrete/7`: counted from the device's `base`;
- `40101`, `400101` (Modicon): the first digit is the table, the rest counts from 1, by definition;
- `0x0064`: a holding register by its PDU address;
- `D100`, `X17`, `QX3.5`: a vendor area of the device's profile;
- a register may carry a bit: `holding/100.3`, `40101.3`, `D100.3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import Area, ObjectName

#: Points of one table: PDU addresses are 16 bits wide (Modbus Application Protocol V1.1b3, 4.3).
POINTS: Final = 65536

_SLASH = re.compile(
    r"(?P<object>coil|discrete|input|holding)/(?P<number>0x[0-9a-f]+|\d+)(?:\.(?P<bit>\d+))?",
    re.I | re.A,
)
_MODICON = re.compile(r"(?P<table>[0134])(?P<number>\d{4,5})(?:\.(?P<bit>\d+))?", re.A)
_HEX = re.compile(r"(?P<number>0x[0-9a-f]+)(?:\.(?P<bit>\d+))?", re.I | re.A)
_AREA = re.compile(r"(?P<letters>[A-Za-z]+)(?P<number>\d+)(?:\.(?P<bit>\d+))?", re.A)
_MODICON_TABLES: Final[Mapping[str, ObjectName]] = {
    "0": "coil",
    "1": "discrete",
    "3": "input",
    "4": "holding",
}
_OBJECTS: Final[Mapping[str, ObjectName]] = {name: name for name in _MODICON_TABLES.values()}


@dataclass(frozen=True, slots=True)
class Location:
    """A point of a table."""

    object: ObjectName
    address: int
    """PDU address, 0-65535."""
    bit: int | None = None
    """Bit of the register, 0 = least significant."""


def names_bit(address: int | float | str, areas: Mapping[str, Area]) -> bool:
    """Whether an address says that one bit is meant: by its table, by a bit, or by an area of
    bits."""
    text = str(address).strip()
    if (match := _SLASH.fullmatch(text)) is not None:
        return match["bit"] is not None or match["object"].lower() in ("coil", "discrete")
    if (match := _MODICON.fullmatch(text)) is not None:
        return match["bit"] is not None or match["table"] in "01"
    if (match := _AREA.fullmatch(text)) is not None:
        found = next(
            (area for area in _areas_of(match, areas) if _place(text, match, area) is not None),
            None,
        )
        return match["bit"] is not None or (
            found is not None and found.object in ("coil", "discrete")
        )
    match = _HEX.fullmatch(text)
    return match is not None and match["bit"] is not None


def locate(address: int | float | str, base: int, areas: Mapping[str, Area]) -> Location:
    """Where an address points. Raises InvalidError."""
    if isinstance(address, float):
        raise InvalidError(
            "address",
            f"地址 {address} 是一个小数，可能丢失了末尾的零：请写成文字，例如 '40101.10'。",
            f"The address {address} is a decimal number, which may have lost a final zero: "
            f"write it as text in quotes, as in '40101.10'.",
            certain=True,
        )
    text = str(address).strip()
    if (match := _SLASH.fullmatch(text)) is not None:
        return _point(
            text, _OBJECTS[match["object"].lower()], _number(match["number"]) - base, match["bit"]
        )
    if (match := _MODICON.fullmatch(text)) is not None:
        return _point(text, _MODICON_TABLES[match["table"]], int(match["number"]) - 1, match["bit"])
    if (match := _HEX.fullmatch(text)) is not None:
        return _point(text, "holding", _number(match["number"]), match["bit"])
    if (match := _AREA.fullmatch(text)) is not None:
        return _in_area(text, match, areas)
    raise InvalidError(
        "address",
        f"地址 {text} 无法识别：请写成 holding/100、input/0、coil/5、discrete/7、40101、0x0064，"
        f"或设备模板中的区，例如 D100。",
        f"The address {text} is not understood: write holding/100, input/0, coil/5, discrete/7, "
        "40101, 0x0064, "
        f"or an area of the device's profile such as D100.",
        certain=True,
    )


def _number(text: str) -> int:
    return int(text, 16 if text[:2].lower() == "0x" else 10)


def _point(text: str, table: ObjectName, address: int, bit: str | None) -> Location:
    if not 0 <= address < POINTS:
        raise InvalidError(
            "address",
            f"地址 {text} 超出范围：换算后的 PDU 地址为 {address}，须为 0 到 65535；请核对 base "
            "和手册的编号方式。",
            f"The address {text} is out of range: it comes to PDU address {address}, which must "
            "be 0 to 65535; "
            f"check base and how the manual counts.",
        )
    if bit is None:
        return Location(table, address)
    if table in ("coil", "discrete"):
        raise InvalidError(
            "address",
            f"地址 {text} 不可带位号：线圈和离散输入本身就是一位；请去掉 .{bit}。",
            f"The address {text} cannot carry a bit: a coil or discrete input is one bit "
            f"already; remove .{bit}.",
        )
    if len(bit) > 2 or int(bit) > 15:
        raise InvalidError(
            "address",
            f"地址 {text} 的位号 {bit} 不可用：寄存器的位为 0（最低位）到 15。",
            f"The address {text} names bit {bit}, but a register has bits 0 (least significant) "
            "to 15.",
        )
    return Location(table, address, int(bit))


def _in_area(text: str, match: re.Match[str], areas: Mapping[str, Area]) -> Location:
    letters = match["letters"].upper()
    candidates = _areas_of(match, areas)
    if not candidates:
        known = ", ".join(areas) or "-"
        raise InvalidError(
            "address",
            f"地址 {text} 所在的区 {letters} 未定义（已有：{known}）："
            f"请给设备选择带该区的 profile，或在 areas 中写明。",
            f"The address {text} lies in an area {letters} that is not defined (there are: "
            f"{known}): give the device "
            f"a profile that has it, or state it under areas.",
        )
    for area in candidates:
        location = _place(text, match, area)
        if location is not None:
            return location
    ranges = ", ".join(
        f"{letters}{area.first}-{letters}{area.last} ({area.numbering})" for area in candidates
    )
    raise InvalidError(
        "address",
        f"地址 {text} 不在该区的范围内：{ranges}；请对照 PLC 手册核对。",
        f"The address {text} is outside its area: {ranges}; check it against the PLC's manual.",
    )


def _areas_of(match: re.Match[str], areas: Mapping[str, Area]) -> list[Area]:
    """The areas with the letters of an address; there may be several behind one another."""
    letters = match["letters"].upper()
    return [area for name, area in areas.items() if name.upper().rstrip("0123456789") == letters]


def _place(text: str, match: re.Match[str], area: Area) -> Location | None:
    """The location in this area, or None when the number is not one of its points."""
    bit_of_register = match["bit"] is not None and area.numbering != "byte.bit"
    number = (
        match["number"]
        if match["bit"] is None or bit_of_register
        else f"{match['number']}.{match['bit']}"
    )
    ordinal, first, last = (
        _ordinal(str(n), area.numbering) for n in (number, area.first, area.last)
    )
    if ordinal is None or first is None or last is None or not first <= ordinal <= last:
        return None
    offset = ordinal - first
    if area.count is not None and offset >= area.count:
        return None
    return _point(text, area.object, area.base + offset, match["bit"] if bit_of_register else None)


def check_area(name: str, area: Area) -> None:
    """Raises InvalidError for an area whose first or last point is no number of its own
    numbering."""
    first, last = (
        _ordinal(str(area.first), area.numbering),
        _ordinal(str(area.last), area.numbering),
    )
    if first is None or last is None or first > last:
        raise InvalidError(
            "areas",
            f"区 {name} 的范围 {area.first} 到 {area.last} 不符合 {area.numbering} 编号："
            f"请更正 first、last 或 numbering。",
            f"The area {name} runs from {area.first} to {area.last}, which is no range in "
            f"{area.numbering} numbering: "
            f"correct first, last or numbering.",
        )


def _ordinal(number: str, numbering: str) -> int | None:
    """The place of a vendor's number in its area's counting, or None when it is no number there (an
    octal 8)."""
    byte, dot, bit = number.partition(".")
    if (
        not byte.isdecimal()
        or not byte.isascii()
        or (dot and not (bit.isdecimal() and bit.isascii()))
    ):
        return None
    if numbering == "byte.bit":
        return int(byte) * 8 + int(bit) if dot and len(bit) == 1 and int(bit) < 8 else None
    if dot:
        return None
    if numbering == "octal":
        return int(byte, 8) if not set(byte) & {"8", "9"} else None
    return int(byte)
