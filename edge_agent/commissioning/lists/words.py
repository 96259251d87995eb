"""The words of point lists for types, byte orders, tables of a Modbus device and access, as the
configuration says it.

A word that means two things (`整数` has 16 bits here and 32 there) is refused with both, never
guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from edge_agent.register.columns import fold


class WordError(ValueError):
    """Why a cell was not understood, Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


def plain(text: str) -> str:
    """Full-width letters, digits and signs as the ordinary ones, without surrounding blanks."""
    return unicodedata.normalize("NFKC", text).strip()


_TYPE_WORDS: Final[Mapping[str, Iterable[str]]] = {
    "bool": (
        "bool",
        "boolean",
        "bit",
        "bits",
        "开关量",
        "开关",
        "布尔",
        "布尔型",
        "布尔量",
        "位",
        "离散量",
        "数字量",
        "digital",
        "BIT位",
    ),
    "int8": ("int8", "sint", "char", "8int", "8位整数", "8位有符号整数", "有符号8位整数"),
    "uint8": ("uint8", "usint", "byte", "8uint", "8位无符号整数", "无符号8位整数", "字节"),
    "int16": (
        "int16",
        "short",
        "int",
        "i16",
        "s16",
        "signed16",
        "16int",
        "16位整数",
        "16位有符号整数",
        "有符号16位整数",
        "16位有符号数",
        "短整型",
        "短整数",
        "有符号短整型",
        "16位整型",
        "signed int16",
        "16 bit signed",
    ),
    "uint16": (
        "uint16",
        "ushort",
        "uint",
        "word",
        "u16",
        "unsigned16",
        "16uint",
        "16位无符号整数",
        "无符号16位整数",
        "16位无符号数",
        "16位正整数",
        "无符号短整型",
        "无符号短整数",
        "无符号16位整型",
        "字",
        "unsigned short",
        "16 bit unsigned",
    ),
    "int32": (
        "int32",
        "dint",
        "long",
        "i32",
        "s32",
        "signed32",
        "32int",
        "32位整数",
        "32位有符号整数",
        "有符号32位整数",
        "32位有符号数",
        "长整型",
        "长整数",
        "32位整型",
        "双整数",
        "双整型",
        "32 bit signed",
    ),
    "uint32": (
        "uint32",
        "udint",
        "dword",
        "ulong",
        "u32",
        "unsigned32",
        "32uint",
        "32位无符号整数",
        "无符号32位整数",
        "32位无符号数",
        "32位正整数",
        "无符号长整型",
        "无符号长整数",
        "Unsigned Int32",
        "双字",
        "32 bit unsigned",
    ),
    "int64": (
        "int64",
        "lint",
        "llong",
        "i64",
        "64int",
        "64位整数",
        "64位有符号整数",
        "有符号64位整数",
    ),
    "uint64": (
        "uint64",
        "ulint",
        "qword",
        "lword",
        "u64",
        "64uint",
        "64位无符号整数",
        "无符号64位整数",
    ),
    "float32": (
        "float32",
        "float",
        "real",
        "single",
        "f32",
        "32float",
        "浮点",
        "浮点数",
        "浮点型",
        "单精度",
        "单精度浮点",
        "单精度浮点数",
        "单精度浮点型",
        "32位浮点",
        "32位浮点数",
        "32位浮点型",
        "实数",
        "FLOAT32-IEEE",
        "ieee754",
        "32 bit float",
    ),
    "float64": (
        "float64",
        "double",
        "lreal",
        "f64",
        "64float",
        "双精度",
        "双精度浮点",
        "双精度浮点数",
        "双精度浮点型",
        "64位浮点",
        "64位浮点数",
        "FLOAT64-IEEE",
    ),
    "string": ("string", "ascii", "str", "text", "字符串", "文本", "字符", "字符型"),
    "bcd16": ("bcd16", "bcd", "16位bcd", "bcd码", "16位bcd码"),
    "bcd32": ("bcd32", "lbcd", "32位bcd", "32位bcd码"),
}
_TYPES: Final[Mapping[str, str]] = {
    fold(word): name for name, words in _TYPE_WORDS.items() for word in (name, *words)
}
_AMBIGUOUS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        map(fold, ("整数", "整型", "integer", "有符号整数", "有符号", "signed")), ("int16", "int32")
    ),
    **dict.fromkeys(
        map(fold, ("无符号整数", "无符号", "无符号整型", "unsigned", "unsigned int", "正整数")),
        ("uint16", "uint32"),
    ),
}
_OPCUA_TYPES: Final[Mapping[str, str]] = {
    "bool": "Boolean",
    "int8": "SByte",
    "uint8": "Byte",
    "int16": "Int16",
    "uint16": "UInt16",
    "int32": "Int32",
    "uint32": "UInt32",
    "int64": "Int64",
    "uint64": "UInt64",
    "float32": "Float",
    "float64": "Double",
    "string": "String",
}

_ORDERS: Final[Mapping[str, str]] = {
    fold(word): order
    for order, words in {
        "ABCD": (
            "ABCD",
            "AB",
            "1234",
            "12",
            "big",
            "大端",
            "大端模式",
            "大端序",
            "高位在前",
            "高字节在前",
            "高字在前",
            "高低",
            "bigendian",
            "big endian",
            "LL",
            "motorola",
            "正序",
        ),
        "DCBA": (
            "DCBA",
            "BA",
            "4321",
            "21",
            "little",
            "小端",
            "小端模式",
            "小端序",
            "低位在前",
            "低字节在前",
            "littleendian",
            "little endian",
            "BB",
            "intel",
            "逆序",
        ),
        "BADC": (
            "BADC",
            "2143",
            "big-swapped",
            "大端字节交换",
            "大端交换",
            "字节交换",
            "byteswap",
            "LB",
            "mid big endian",
            "big endian byte swap",
        ),
        "CDAB": (
            "CDAB",
            "3412",
            "little-swapped",
            "小端字节交换",
            "小端交换",
            "低字在前",
            "字交换",
            "word swap",
            "BL",
            "mid little endian",
            "little endian byte swap",
        ),
    }.items()
    for word in words
}

_TABLES: Final[Mapping[str, str]] = {
    fold(word): table
    for table, words in {
        "coil": (
            "coil",
            "coils",
            "1",
            "01",
            "01H",
            "0x01",
            "FC1",
            "FC01",
            "0x",
            "0区",
            "线圈",
            "读写线圈",
            "线圈寄存器",
            "线圈状态",
            "DO",
            "output coils",
            "coil status",
        ),
        "discrete": (
            "discrete",
            "2",
            "02",
            "02H",
            "0x02",
            "FC2",
            "FC02",
            "1x",
            "1区",
            "离散输入",
            "离散量",
            "离散量输入",
            "输入状态",
            "只读线圈",
            "DI",
            "discrete input",
            "discrete inputs",
            "input status",
            "input coils",
            "输入线圈",
            "离散输入寄存器",
        ),
        "holding": (
            "holding",
            "3",
            "03",
            "03H",
            "0x03",
            "FC3",
            "FC03",
            "4x",
            "4区",
            "保持寄存器",
            "读写寄存器",
            "AO",
            "holding register",
            "holding registers",
            "hold register",
        ),
        "input": (
            "input",
            "4",
            "04",
            "04H",
            "0x04",
            "FC4",
            "FC04",
            "3x",
            "3区",
            "输入寄存器",
            "只读寄存器",
            "AI",
            "input register",
            "input registers",
            "internal registers",
        ),
    }.items()
    for word in words
}

_REPORTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(map(fold, ("always", "总是", "每次", "定时")), "always"),
    **dict.fromkeys(map(fold, ("change", "变化", "变化上报", "改变时上报")), "change"),
}
_WRITE_ONLY: Final = frozenset(map(fold, ("只写", "W", "WO", "write", "write only", "w/o")))
YES: Final = frozenset(map(fold, ("1", "y", "yes", "true", "是", "√")))


@lru_cache(maxsize=1024)
def type_word(text: str, *, opcua: bool = False) -> str:
    """The configuration's type. For OPC UA its own names stay as they are. Raises WordError."""
    word = plain(text)
    folded = fold(word)
    if folded in _AMBIGUOUS and not opcua:
        first, second = _AMBIGUOUS[folded]
        raise WordError(
            f"“{text}”没有说明位数，请写 {first} 或 {second}。",
            f"“{text}” does not say how many bits: write {first} or {second}.",
        )
    known = _TYPES.get(folded)
    if opcua:
        return word if known is None or word.isascii() else _OPCUA_TYPES.get(known, word)
    if known is None:
        raise WordError(
            f"不认识的类型“{text}”；可用：{' '.join(_TYPE_WORDS)}。",
            f"the type “{text}” is not known; use one of: {' '.join(_TYPE_WORDS)}.",
        )
    return known


_ORDER_IN_TYPE: Final = re.compile(
    r"(?P<type>.+?)[\s_\-(\[]*(?P<order>AB ?CD|CD ?AB|BA ?DC|DC ?BA)(?: ?[A-H]{2}){0,2}[\s)\]]*",
    re.I,
)


@lru_cache(maxsize=1024)
def type_and_order(text: str) -> tuple[str, str | None]:
    """A type, and the byte order that stands in the same cell: `Float CD AB`, `32位浮点(CDAB)`."""
    match = _ORDER_IN_TYPE.fullmatch(plain(text))
    return (
        (text, None) if match is None else (match["type"], match["order"].replace(" ", "").upper())
    )


@lru_cache(maxsize=1024)
def word_order(text: str) -> str:
    """ABCD, DCBA, BADC or CDAB. Raises WordError."""
    found = _ORDERS.get(fold(plain(text).lstrip("#")))
    if found is None:
        raise WordError(
            f"不认识的字节序“{text}”；可用：ABCD（大端）、DCBA（小端）、BADC、CDAB（低字在前）。",
            f"the byte order “{text}” is not known; use ABCD (big), DCBA (little), BADC, or CDAB "
            "(low word first).",
        )
    return found


@lru_cache(maxsize=1024)
def table_word(text: str) -> str:
    """coil, discrete, holding or input, from a name or the function code that reads it. Raises
    WordError."""
    found = _TABLES.get(fold(plain(text)))
    if found is None:
        raise WordError(
            f"不认识的寄存器类型“{text}”；可用：线圈 1、离散输入 2、保持寄存器 3、输入寄存器 "
            "4（读功能码）。",
            f"the table “{text}” is not known; use coil 1, discrete 2, holding 3 or input 4 (the "
            "read function codes).",
        )
    return found


def report_word(text: str) -> str:
    """always or change. Raises WordError."""
    found = _REPORTS.get(fold(plain(text)))
    if found is None:
        raise WordError(f"“{text}”应为 always 或 change。", f"“{text}” must be always or change.")
    return found


def is_write_only(text: str) -> bool:
    """Whether an access says that the point cannot be read."""
    return fold(plain(text)) in _WRITE_ONLY
