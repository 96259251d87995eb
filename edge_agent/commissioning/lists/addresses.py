"""Addresses of Modbus registers as point lists write them, as the configuration writes them.

`40001` and `400001` count from 1 by definition, and so does `4x1`. A bare number says nothing about
its table, nor where its counting begins: that comes from a column, or from whoever imports the
list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from edge_agent.commissioning.lists.words import WordError, plain, table_word, word_order

_OWN: Final = re.compile(
    r"(?:coil|discrete|input|holding)/(?:0x[0-9a-f]+|\d+)(?:\.\d+)?", re.I | re.A
)
_MODICON: Final = re.compile(r"(?P<digit>[0134])(?P<number>\d{4,5})(?:[.:](?P<bit>\d+))?", re.A)
_PREFIXED: Final = re.compile(
    r"(?:(?P<digit>[134])[xX][-_]?|(?P<coils>0)[xX][-_])(?P<number>\d+)(?:[.:](?P<bit>\d+))?", re.A
)
_TWO_MEANINGS: Final = re.compile(r"0[xX](?P<number>\d{1,3}|\d{5,})(?:[.:]\d+)?", re.A)
_HEX: Final = re.compile(
    r"(?:0x(?P<after>[0-9a-f]{1,4})|(?P<before>[0-9a-f]{1,5})h)(?:[.:](?P<bit>\d+))?", re.I | re.A
)
_BARE: Final = re.compile(r"(?P<number>\d+)(?:[.:](?P<bit>\d+))?", re.A)
_AREA: Final = re.compile(r"[A-Za-z]{1,3}\d+(?:\.\d+)?", re.A)
_NEURON: Final = re.compile(
    r"(?P<unit>\d+)!(?P<address>\d+)(?:#(?P<order>[BL]{1,2}))?(?:\.(?P<rest>\d+)(?P<form>[HLDE]?))?"
    r"(?:#(?P<late>[BL]{1,2}))?",
    re.A,
)
_TABLES: Final = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}


@dataclass(frozen=True, slots=True)
class AddressCounting:
    """What a list does not say of its addresses: how bare numbers count, and in which table they
    are."""

    base: Literal[0, 1] | None = None
    """Number of the first register; None: as the device's `base` says, and 1 for `4x1`."""
    table: str | None = None
    """The table of a number without one: coil, discrete, holding or input."""


UNSTATED: Final = AddressCounting()


@dataclass(frozen=True, slots=True)
class LocatedAddress:
    """An address as the configuration writes it, and what else the text said."""

    address: str
    """With a bit of a register behind a point: `40001.10`."""
    base: Literal[0, 1] | None = None
    unit: int | None = None
    word_order: str | None = None
    length: int | None = None
    note: tuple[str, str] | None = None
    """What to know of how it was read, Chinese and English."""


def locate(
    text: str, area: str, counting: AddressCounting, *, text_type: bool = False
) -> LocatedAddress:
    """The place an address and a table (both as written; `area` may be empty) mean. Raises
    WordError.

    `text_type`: it holds a string, so that digits behind a point are its length in the notation of
    Neuron.
    """
    written = plain(text).replace(" ", "")
    if _OWN.fullmatch(written):
        return LocatedAddress(written.lower())
    if (match := _NEURON.fullmatch(written)) is not None:
        return _neuron(match, text_type)
    table = table_word(area) if area.strip() else None
    if (match := _PREFIXED.fullmatch(written)) is not None:
        return _prefixed(written, match, table, counting)
    if (match := _TWO_MEANINGS.fullmatch(written)) is not None and table in (None, "coil"):
        return _coil_or_hexadecimal(written, match["number"], table, counting)
    if (match := _MODICON.fullmatch(written)) is not None and table in (
        None,
        _TABLES[match["digit"]],
    ):
        return LocatedAddress(match["digit"] + match["number"] + _bit(match))
    if (match := _HEX.fullmatch(written)) is not None:
        return _hexadecimal(match, table or counting.table, counting)
    if (match := _BARE.fullmatch(written)) is not None:
        return _bare(written, match, table or counting.table, counting)
    if _AREA.fullmatch(written):
        return LocatedAddress(written)
    raise WordError(
        f"地址“{text}”无法识别；可写 40001、4x1、holding/0、0x0000，或 PLC 的区如 D100。",
        f"the address “{text}” is not understood; write 40001, 4x1, holding/0, 0x0000, or an "
        "area such as D100.",
    )


def _bit(match: re.Match[str]) -> str:
    """The bit behind its point, as written; nothing without one."""
    return "" if match["bit"] is None else f".{match['bit']}"


def _neuron(match: re.Match[str], text_type: bool) -> LocatedAddress:
    """`SLAVE!ADDRESS[.BIT][#ENDIAN][.LEN[H][L][D][E]]` of Neuron's Modbus plugins."""
    order = match["order"] or match["late"]
    rest = None if match["rest"] is None else int(match["rest"])
    letters = None if order is None else word_order(order)
    if order in ("B", "L"):  # of one register: bytes swapped, or not
        letters = "BADC" if order == "B" else "ABCD"
    note = None
    if text_type and match["form"] in ("L", "D", "E"):
        if match["form"] == "L":
            letters = "BADC"
        else:
            note = (
                f"字符串方式 {match['form']}（每个寄存器一个字符）没有照搬，请核对，必要时写 "
                "nul: skip。",
                f"the string form {match['form']}, one character in a register, was not carried "
                "over; compare, and "
                "write `nul: skip` where it is needed.",
            )
    return LocatedAddress(
        match["address"] + ("" if text_type or rest is None else f".{rest}"),
        unit=int(match["unit"]),
        word_order=letters,
        length=rest if text_type else None,
        note=note,
    )


def _prefixed(
    written: str, match: re.Match[str], table: str | None, counting: AddressCounting
) -> LocatedAddress:
    digit = match["digit"] or match["coils"]
    meant = _TABLES[digit]
    if table is not None and table != meant:
        raise WordError(
            f"地址 {written} 属于{meant}，而寄存器类型写的是 {table}；请改其一。",
            f"the address {written} is in the table {meant}, and the column of the table says "
            f"{table}; change one.",
        )
    number = int(match["number"])
    if counting.base == 0:
        return LocatedAddress(f"{meant}/{number}{_bit(match)}", base=0)
    if number == 0:
        raise WordError(
            f"地址 {written}：4x 一类的编号从 1 起；如果这份点表从 0 起，请加 --base 0。",
            f"the address {written}: numbers behind 4x and the like begin with 1; if this list "
            "begins with 0, "
            "use --base 0.",
        )
    return LocatedAddress(f"{digit}{number:05}{_bit(match)}")


def _coil_or_hexadecimal(
    written: str, number: str, table: str | None, counting: AddressCounting
) -> LocatedAddress:
    """`0x17` is coil 17 in a list with `4x` and `3x`, and register 23 in others; `0x0017` with four
    digits is the one that the configuration knows."""
    if table == "coil":
        return (
            LocatedAddress(f"coil/{number}", base=0)
            if counting.base == 0
            else LocatedAddress(f"0{int(number):05}")
        )
    raise WordError(
        f"地址 {written} 可能是线圈 {number}，也可能是十六进制地址；请写 0x-{number} 或四位的 "
        f"0x{number:0>4}。",
        f"the address {written} may be coil {number} or a hexadecimal number; write 0x-{number}, "
        "or four digits as in "
        f"0x{number:0>4}.",
    )


def _hexadecimal(
    match: re.Match[str], table: str | None, counting: AddressCounting
) -> LocatedAddress:
    digits = match["after"] or match["before"]
    if table is None:
        if match["after"]:
            return LocatedAddress(f"0x{digits}{_bit(match)}")
        table = "holding"
    return LocatedAddress(f"{table}/0x{digits}{_bit(match)}", base=counting.base)


def _bare(
    written: str, match: re.Match[str], table: str | None, counting: AddressCounting
) -> LocatedAddress:
    if table is None:
        raise WordError(
            f"地址 {written} 没有说明属于哪种寄存器；请加一列“寄存器类型”（或功能码），或用 "
            "--area holding 等选项。",
            f"the address {written} does not say in which table it is; add a column “area” (or "
            "function code), or use "
            "the option --area holding or another.",
        )
    note = None
    if _MODICON.fullmatch(written):
        note = (
            f"{written} 与寄存器类型 {table} 不是同一种编号，按 {table} 的第 {match['number']} "
            "号读取，请核对。",
            f"{written} is not numbered like the table {table}: it is read as number "
            f"{match['number']} of it; compare.",
        )
    return LocatedAddress(f"{table}/{match['number']}{_bit(match)}", base=counting.base, note=note)
