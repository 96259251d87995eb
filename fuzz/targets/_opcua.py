"""What the OPC UA targets share: a slow reader of the binary encoding (OPC 10000-6 §5.2.2) written
apart from ours.

It takes one field after the other from a cursor; ours walks runs of records with one struct. Both
refuse the same bytes, or say the same values in the same types. What is a matter of our model and
not of the encoding (dates as ISO text, bytes as hex, matrices flat, what has no place in it
UNSUPPORTED) is the documented one.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np

from connectors.opcua.binary import UNSUPPORTED, Structure
from connectors.opcua.columns import Columns
from fuzz.target import demand

HEADER: Final = bytes(8 + 4 + 4 + 1) + b"\xff\xff\xff\xff" + bytes(3)
"""A response header without a fault."""

_1601: Final = datetime(1601, 1, 1, tzinfo=UTC)
_1970: Final = (datetime(1970, 1, 1, tzinfo=UTC) - _1601) // timedelta(microseconds=1) * 10
_LAST_TICK: Final = (
    (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _1601) // timedelta(microseconds=1) * 10
)
_DEEPEST: Final = 8
_FIXED: Final = {
    1: "?",
    2: "b",
    3: "B",
    4: "h",
    5: "H",
    6: "i",
    7: "I",
    8: "q",
    9: "Q",
    10: "f",
    11: "d",
    19: "I",
}
_STRUCTS: Final = {
    form: struct.Struct(f"<{form}") for form in {*_FIXED.values(), "H", "I", "i", "q"}
}
_SCALARS: Final = frozenset({bool, int, float, str})


class BrokenError(Exception):
    """The bytes are not what the encoding allows."""


class Cursor:
    """Fields in their order."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, size: int) -> bytes:
        """The next bytes, all of them."""
        part = self.data[self.at : self.at + size]
        if len(part) != size:
            raise BrokenError
        self.at += size
        return part

    def fixed(self, form: str) -> Any:
        """One number."""
        layout = _STRUCTS[form]
        return layout.unpack(self.take(layout.size))[0]

    def count(self) -> int:
        """An array's length, which is a lie when each of its elements cannot have a byte."""
        number = int(self.fixed("i"))
        if number > len(self.data) - self.at:
            raise BrokenError
        return max(number, 0)

    def octets(self) -> bytes:
        return self.take(max(self.fixed("i"), 0))

    def text(self) -> str:
        return self.octets().decode("utf-8", "replace")

    def byte(self) -> int:
        return self.take(1)[0]


def _node_id(c: Cursor) -> str:
    lead = c.byte()
    form = lead & 0x3F
    if form == 0:
        name = f"i={c.byte()}"
    elif form == 1:
        namespace = c.byte()
        name = f"i={c.fixed('H')}"
    elif form <= 5:
        namespace = c.fixed("H")
        name = _NAMES[form](c)
    else:
        raise BrokenError
    before = f"ns={namespace};" if form and namespace else ""
    if lead & 0x80:
        before = f"nsu={c.text()};"
    return (f"svr={c.fixed('I')};" if lead & 0x40 else "") + before + name


_NAMES: Final[dict[int, Callable[[Cursor], str]]] = {
    2: lambda c: f"i={c.fixed('I')}",
    3: lambda c: f"s={c.text()}",
    4: lambda c: f"g={UUID(bytes_le=c.take(16))}",
    5: lambda c: f"b={b64encode(c.octets()).decode()}",
}


def _time(c: Cursor) -> str:
    ticks = min(max(c.fixed("q"), 0), _LAST_TICK)
    return (_1601 + timedelta(microseconds=ticks // 10)).isoformat()[:-6] + "Z"


def _qualified(c: Cursor) -> str:
    namespace, name = c.fixed("H"), c.text()
    return f"{namespace}:{name}" if namespace else name


def _localized(c: Cursor) -> str:
    mask = c.byte()
    if mask & 1:
        c.text()
    return c.text() if mask & 2 else ""


def _extension(c: Cursor) -> tuple[str, bytes]:
    kind = _node_id(c)
    return kind, c.octets() if c.byte() else b""


def _diagnostic(c: Cursor, depth: int = 0) -> object:
    mask = c.byte()
    if mask & 0x80 or depth > _DEEPEST:
        raise BrokenError
    c.take(4 * sum(mask >> n & 1 for n in range(4)))
    if mask & 0x10:
        c.octets()
    if mask & 0x20:
        c.take(4)
    if mask & 0x40:
        _diagnostic(c, depth + 1)
    return UNSUPPORTED


def _structure(c: Cursor) -> object:
    kind, raw = _extension(c)
    if kind not in _STRUCTURES:
        return Structure(kind)
    inside = Cursor(raw)
    try:
        fields = {name: read(inside) for name, read in _STRUCTURES[kind].items()}
    except BrokenError:
        return Structure(kind)
    return Structure(kind, fields if inside.at == len(raw) else None)


_STRUCTURES: Final[dict[str, dict[str, Callable[[Cursor], Any]]]] = {
    "i=886": {"low": lambda c: c.fixed("d"), "high": lambda c: c.fixed("d")},
    "i=889": {
        "namespaceUri": Cursor.text,
        "unitId": lambda c: c.fixed("i"),
        "displayName": _localized,
        "description": _localized,
    },
    "i=298": {
        "name": Cursor.text,
        "dataType": _node_id,
        "valueRank": lambda c: c.fixed("i"),
        "arrayDimensions": lambda c: [c.fixed("I") for _ in range(c.count())],
        "description": _localized,
    },
}


def _shortest(value: float) -> float:
    """Single precision as numpy writes it; whole numbers that a double writes out in full stay as
    they are."""
    return value if value != value or 2**24 <= abs(value) < 2**53 else float(str(np.float32(value)))


_BUILT_IN: Final[dict[int, Callable[[Cursor], object]]] = {
    12: Cursor.text,
    13: _time,
    14: lambda c: str(UUID(bytes_le=c.take(16))),
    15: lambda c: c.octets().hex(),
    16: Cursor.text,
    17: _node_id,
    18: _node_id,
    20: _qualified,
    21: _localized,
    22: _structure,
    25: _diagnostic,
}


def _scalar(c: Cursor, number: int, depth: int) -> Any:
    if number in _FIXED:
        value = c.fixed(_FIXED[number])
        return _shortest(value) if _FIXED[number] == "f" else value
    if number in _BUILT_IN:
        return _BUILT_IN[number](c)
    if number == 0:
        return None
    if number == 23:
        return data_value(c, depth + 1)[0]
    if number == 24:
        return _variant(c, depth + 1)
    if number <= 31:
        c.octets()
        return UNSUPPORTED
    raise BrokenError


def _variant(c: Cursor, depth: int) -> Any:
    mask = c.byte()
    number = mask & 0x3F
    if depth > _DEEPEST:
        raise BrokenError
    if mask & 0x80:
        count = c.count()
        if number == 0:
            raise BrokenError
        value: Any = [_scalar(c, number, depth + 1) for _ in range(count)]
        kinds = {type(item) for item in value}
        if kinds == {Structure}:
            value = tuple(value)
        elif kinds - _SCALARS:
            value = UNSUPPORTED
    else:
        value = _scalar(c, number, depth)
    if mask & 0x40:
        c.take(4 * c.count())
    return value


def data_value(c: Cursor, depth: int = 0) -> tuple[Any, int, int | None]:
    """Value, status, and the source's time or else the server's in ns."""
    mask = c.byte()
    value = _variant(c, depth) if mask & 0x01 else None
    status = c.fixed("I") if mask & 0x02 else 0
    source = c.fixed("q") if mask & 0x04 else 0
    c.take(2 if mask & 0x10 else 0)
    server = c.fixed("q") if mask & 0x08 else 0
    c.take(2 if mask & 0x20 else 0)
    ticks = source if source > 0 else server
    return value, status, (ticks - _1970) * 100 if ticks > 0 else None


def items(c: Cursor, *, handles: bool) -> Columns:
    """An array of DataValues, or of MonitoredItemNotifications."""
    out = Columns()
    for n in range(c.count()):
        if handles:
            out.handles.append(c.fixed("I"))
        value, status, source = data_value(c)
        out.values.append(value)
        out.source.append(source)
        if status:
            out.status[n] = status
    return out


class FaultError(Exception):
    """The response says that the service was refused, with this code."""


def _header(c: Cursor, kind: str) -> None:
    found = _node_id(c)
    c.take(8 + 4)
    result = c.fixed("I")
    if result & 0x80000000 or found == "i=397":
        raise FaultError(result or 0x80000000)
    if found != kind:
        raise BrokenError
    _diagnostic(c)
    for _ in range(c.count()):
        c.text()
    _extension(c)


def read(body: bytes) -> Columns:
    """A ReadResponse."""
    c = Cursor(body)
    _header(c, "i=634")
    return items(c, handles=False)


@dataclass(slots=True)
class Publication:
    """A PublishResponse."""

    subscription: int
    available: list[int]
    sequence: int
    changes: Columns | None = None
    ended: int | None = None
    kinds: list[str] = field(default_factory=list)


def publish(body: bytes) -> Publication:
    """A PublishResponse, its data changes joined."""
    c = Cursor(body)
    _header(c, "i=829")
    subscription, available = c.fixed("I"), [c.fixed("I") for _ in range(c.count())]
    c.take(1)
    out = Publication(subscription, available, c.fixed("I"))
    c.take(8)
    for _ in range(c.count()):
        kind, raw = _extension(c)
        out.kinds.append(kind)
        if kind == "i=811":
            _join(out, items(Cursor(raw), handles=True))
        elif kind == "i=820":
            out.ended = Cursor(raw).fixed("I")
    return out


def _join(out: Publication, more: Columns) -> None:
    all_ = out.changes = out.changes or Columns()
    all_.status |= {len(all_.values) + n: code for n, code in more.status.items()}
    all_.values += more.values
    all_.source += more.source
    all_.handles += more.handles


def compare(found: Columns | None, expected: Columns | None) -> None:
    """Equal in values and types. Only NaN, which equals nothing, needs the slow way."""
    if found is None or expected is None or found != expected:
        demand(repr(found) == repr(expected), "decoded", found, ", the encoding says", expected)
    else:
        demand(
            list(map(type, found.values)) == list(map(type, expected.values)),
            "types of",
            found,
            expected,
        )


def records() -> Iterable[bytes]:
    """DataValues: fixed and odd layouts, texts, arrays, nests."""
    ticks = struct.pack("<q", 134_000_000_000_000_000)
    yield b"\x0d\x0b" + struct.pack("<d", 21.5) + ticks * 2
    yield b"\x0f\x06" + struct.pack("<iI", -7, 0x40900000) + ticks * 2
    yield b"\x02" + struct.pack("<I", 0x800A0000)
    yield b"\x05\x0c" + struct.pack("<i", 5) + b"\xe4\xb8\xbb7\xff" + ticks
    yield b"\x01\x8b" + struct.pack("<i2d", 2, 1.0, 2.0)
    yield b"\x01\xc6" + struct.pack("<4ii2i", 4, 1, 2, 3, 4, 2, 2)[:24]
    yield b"\x01\x98" + struct.pack("<i", 2) + b"\x03\x07\x06" + struct.pack("<i", 9)
    yield b"\x01\x98" + struct.pack("<i", 1) + b"\x83" + struct.pack("<i", 2) + b"\x01\x02"
    yield b"\x01\x17\x01\x01\x01"
    yield b"\x01\x11\x03\x02\x00" + struct.pack("<i", 3) + b"abc"
    yield b"\x01\x16\x01\x00\x79\x03\x01" + struct.pack("<i", 4) + b"body"
    yield b"\x01\x19\x10" + struct.pack("<i", 2) + b"hi"
    yield b"\x01\x15\x03" + struct.pack("<i", 2) + b"zh" + struct.pack("<i", 2) + b"ok"
    yield b"\x01\x0d" + ticks
    yield b"\x01\x14\x02\x00" + struct.pack("<i", 2) + b"ab"


def array(known: list[bytes], *, handles: bool = False) -> bytes:
    """Records with their count, and with client handles."""
    lead = [struct.pack("<I", n) if handles else b"" for n in range(len(known))]
    return struct.pack("<i", len(known)) + b"".join(a + b for a, b in zip(lead, known, strict=True))
