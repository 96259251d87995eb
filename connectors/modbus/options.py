"""The YAML keys of a Modbus device and of one of its tags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from edge_agent.sdk import Options

ObjectName = Literal["coil", "discrete", "input", "holding"]
"""The four tables of a Modbus device: coils, discrete inputs, input registers, holding
registers."""

ByteOrder = Literal["ABCD", "DCBA", "BADC", "CDAB"]
"""The bytes of a 32-bit value in the order they come on the wire; 16 and 64 bit likewise."""

DataType = Literal[
    "bool", "int8", "uint8", "int16", "uint16",
    "int32", "uint32", "int64", "uint64", "float32", "float64", "string", "bcd16", "bcd32",
]  # fmt: skip

WordOrder = Literal[
    "big",
    "little",
    "big-swapped",
    "little-swapped",
    "ABCD",
    "DCBA",
    "BADC",
    "CDAB",
    "abcd",
    "dcba",
    "badc",
    "cdab",
]
"""`big` = ABCD, `little` = DCBA, `big-swapped` = BADC (bytes swapped within each register),
`little-swapped` = CDAB (registers in reverse order)."""

_WORDS: Final[dict[str, ByteOrder]] = {
    "big": "ABCD", "little": "DCBA", "big-swapped": "BADC", "little-swapped": "CDAB",
    "abcd": "ABCD", "dcba": "DCBA", "badc": "BADC", "cdab": "CDAB",
}  # fmt: skip


def byte_order(word: WordOrder) -> ByteOrder:
    """The letters of a word order, however it was written."""
    return _WORDS[word.lower()]


_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def _seconds(text: object) -> object:
    """`500ms`, `2s`, `1m` -> seconds; anything else is left to pydantic."""
    if isinstance(text, str) and (match := _DURATION.fullmatch(text.strip())):
        return float(match["number"]) * _SECONDS[match["unit"]]
    return text


Timeout = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=str | float),
    Field(ge=0.01, le=60, examples=["500ms", "1s"]),
]
"""Seconds, written `500ms`, `1s`."""


ConnectDelay = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=str | float),
    Field(ge=0, le=30, examples=["1s"]),
]
"""Seconds, written `500ms`, `1s`; 0 for none."""


def _listed(value: object) -> object:
    """One number as a list of one."""
    return (value,) if isinstance(value, int) else value


AcceptedUnits = Annotated[
    tuple[Annotated[int, Field(ge=0, le=255)], ...],
    BeforeValidator(_listed, json_schema_input_type=int | list[int]),
]
"""Unit numbers."""


def _as_written(value: object) -> object:
    """A number that knows how it was written (`0x9CA5`, `40101.10`) as that text. A bare float does
    not know whether a final zero was lost, and is left for the checks to refuse."""
    if isinstance(value, int | float) and type(value) not in (int, float, bool):
        return str(value)
    return value


AsWritten = Annotated[
    int | float | str, BeforeValidator(_as_written, json_schema_input_type=int | float | str)
]
"""A number in somebody's own numbering, where the digits as written matter."""


class Area(Options):
    """A vendor's own memory area: how `D100`, `X17` or `QX3.5` becomes an object and a PDU
    address."""

    object: ObjectName
    """The table that holds the area: coil, discrete, input or holding."""
    base: int = Field(ge=0, le=65535)
    """PDU address of the area's first point."""
    numbering: Literal["decimal", "octal", "byte.bit"] = "decimal"
    """How the vendor counts: in tens, in eights (`X7` is followed by `X10`), or in bytes with a bit
    (`QX3.5`)."""
    first: AsWritten = 0
    """The first and the last point, as the vendor numbers them (`377` of an octal area is
    octal)."""
    last: AsWritten
    """The last point; see `first`."""
    count: int | None = Field(default=None, ge=1, le=65536)
    """Number of points, where the vendor's range and count disagree: the smaller holds."""


class Constant(Options):
    """Something by which a device is recognised: a register and its value, or texts of function
    43/14."""

    address: AsWritten | None = None
    """A register or bit, written as at a tag; with `equals`."""
    type: DataType | None = None
    """As at a tag."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """As at a tag."""
    word_order: WordOrder | None = None
    """Default: the device's."""
    base: Literal[0, 1] | None = None
    """Default: the device's."""
    length: int | None = Field(default=None, ge=1, le=250)
    """As at a tag."""
    encoding: str = "ascii"
    """As at a tag."""
    byte: Literal["high", "low"] | None = None
    """As at a tag."""
    equals: bool | int | float | str | None = None
    """The raw value that must be there."""
    vendor: str | None = None
    """What Read Device Identification (function 43/14) answers as VendorName; `*` stands for
    anything."""
    product: str | None = None
    """The same of ProductCode."""
    revision: str | None = None
    """The same of MajorMinorRevision."""


class ModbusDevice(Options):
    """Where a Modbus device is and how it wants to be asked."""

    url: str = Field(
        examples=["tcp://10.0.1.50:502", "rtu:///dev/ttyUSB0?baudrate=9600&parity=E"],
        description="tcp://, rtu-tcp://, udp:// or tls://host[:port]; rtu:// or "
        "ascii:///dev/...?baudrate=&parity=&..",
    )
    client: Literal["own", "pymodbus"] | None = None
    """Who speaks on the wire of tcp and rtu-tcp: `own`, the agent's own fast codec (the default),
    or `pymodbus`. All other transports are pymodbus'."""
    ca: Path | None = None
    """tls: the certificate authority to trust instead of the system's."""
    cert: Path | None = None
    """tls: the client's own certificate, PEM."""
    key: Path | None = None
    """tls: the key of `cert`, PEM without a password."""
    unit: int = Field(default=1, ge=0, le=255)
    """The unit number (station, slave address) of the device; units behind one gateway or on one
    bus share its url."""
    base: Literal[0, 1] = 0
    """Number of the first register in `holding/...` and its like; `40001` and vendor areas are not
    touched by it."""
    timeout: Timeout = 1.0
    """Longest wait for one answer, and for a TCP connection."""
    connection: Literal["auto", "persistent", "per_request"] = "auto"
    """`persistent` keeps the TCP connection open; `per_request` makes a new one for every request,
    for devices and gateways that close it after each answer. `auto` recognises those and says so in
    the log."""
    connect_delay: ConnectDelay = 0.0
    """Pause after connecting, before the first request: some devices ignore what comes earlier."""
    accept_unit: AcceptedUnits = ()
    """Other unit numbers under which this device answers, one or a list. Default: none, the answer
    is refused."""
    word_order: WordOrder = "big"
    """How the device orders the bytes of a value: `big` ABCD, `little` DCBA, `big-swapped` BADC,
    `little-swapped` CDAB (letters as they come on the wire; the letters may be written as well)."""
    max_registers: int = Field(default=125, ge=1, le=125)
    """Registers per request. 125 is the protocol's limit; some devices stop at 64 or less. A number
    that is wider is read in parts: high, low, high again, and is good when both highs are equal."""
    max_bits: int = Field(default=2000, ge=1, le=2000)
    """Coils or discrete inputs per request."""
    max_gap: int = Field(default=32, ge=0, le=124)
    """Unwanted registers that are read along to save a request; 0 for a device that hangs up where
    its map has holes (which is recognised after some polls, and said in the log). At 9600 baud a
    request costs about 20 ms of framing and silence plus the device's own delay, a register 2.3 ms:
    32 is about where both meet with a device that takes 50 ms. On TCP it only ever saves. In coils
    and discrete inputs a register counts as 16."""
    pipeline: int = Field(default=1, ge=1, le=16)
    """Requests under way at once (`tcp://` with the agent's own codec and no `pause_ms`; elsewhere
    always 1)."""
    pause_ms: float = Field(default=0, ge=0, le=10_000)
    """Milliseconds of silence between an answer and the next request, for devices that need it."""
    identify: tuple[Constant, ...] = ()
    """What is always the same in this device: `{address: holding/0, equals: 1234}` or `{vendor:
    ACME, product: "X1*"}` (function 43/14). Asked after each opening of the connection; no value is
    good before all of it is as stated."""
    areas: dict[str, Area] = Field(default_factory=dict)
    """Vendor areas, usually from a profile."""


class ModbusTag(Options):
    """Where one value lives in a Modbus device, and its shape there."""

    address: AsWritten = Field(
        examples=[
            "holding/100",
            "input/0x10",
            "coil/5",
            "holding/100.3",
            40101,
            "400101",
            "0x0064",
            "D100",
        ],
    )
    """`holding/100`, `input/..`, `coil/..`, `discrete/..`, counted from `base`; `40101` or `400101`
    (Modicon: counted from 1); `0x0064`, a holding register by its PDU address; `D100`, an area of
    the device's profile. A bit of a register follows a point: `holding/100.3`, `40101.10`."""
    type: DataType | None = None
    """Default: bool for coil/, discrete/, 0xxxx, 1xxxx, an area of bits (`M10`) and an address with
    a bit; uint16 otherwise."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """The bit of a register, 0 = least significant; the same as `.3` behind the address."""
    word_order: WordOrder | None = None
    """Default: the device's."""
    base: Literal[0, 1] | None = None
    """Default: the device's."""
    count: int = Field(default=1, ge=1, le=2000)
    """More than 1: a list of this many values, one behind the other."""
    length: int | None = Field(default=None, ge=1, le=250)
    """Bytes of a string; two in each register."""
    encoding: str = "ascii"
    """Of a string: ascii, utf-8, gbk, utf-16-be, ..."""
    nul: Literal["uncertain", "end", "skip"] = "uncertain"
    """Of a string: what a NUL byte with more text behind it means. `end`: the text ends there.
    `skip`: NULs carry nothing, as in registers with one character each (`0041 0042` is AB).
    Default: the text up to it, uncertain."""
    byte: Literal["high", "low"] | None = None
    """Of int8 and uint8: which half of the register, `high` being the first on the wire."""


def device_options(options: Options) -> ModbusDevice:
    """A plan's options as ours (they may carry common keys besides)."""
    if not isinstance(options, ModbusDevice):
        raise TypeError(f"{type(options).__name__} are not the options of a Modbus device")
    return options


def tag_options(where: object) -> ModbusTag:
    """A tag's options as ours."""
    if not isinstance(where, ModbusTag):
        raise TypeError(f"{type(where).__name__} are not the options of a Modbus tag")
    return where


#: Addresses that are bits without saying so.
_BITWISE: Final = re.compile(
    r"\s*(coil|discrete|holding/\w+\.|input/\w+\.|[01]\d{4,5}$|\d+\.)", re.IGNORECASE
)
_MODULI: Final[dict[str, int]] = {
    **{f"{sign}int{bits}": 1 << bits for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bcd16": 10**4,
    "bcd32": 10**8,
}


def tag_modulus(where: object) -> int | None:
    """How many numbers a tag has before it begins again at 0. An address alone is a register of 16
    bits."""
    tag = tag_options(where)
    if (
        tag.count > 1
        or tag.bit is not None
        or (tag.type is None and _BITWISE.match(str(tag.address)))
    ):
        return None
    return _MODULI.get(tag.type or "uint16")


def tag_address(where: object) -> str:
    """Where a tag is, as its entry says; a bit that is written apart comes behind its register."""
    tag = tag_options(where)
    return str(tag.address) if tag.bit is None else f"{tag.address} bit {tag.bit}"
