"""The OPC UA binary encoding of built-in types (OPC 10000-6 §5.2.2), decoded straight into our own
values.

Pure functions from (bytes, position) to (value, next position). They read what a server sent, so
they trust nothing: every length is checked against the bytes that are there, and anything wrong is
a `DecodeError`.
"""

from __future__ import annotations

import struct
import uuid
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edge_agent.sdk import shortest_single, shortest_singles

TICKS_1970: Final = 116_444_736_000_000_000
"""100 ns ticks from 1601-01-01, where OPC UA time begins, to 1970-01-01."""

_TICKS_END: Final = 2_650_467_743_990_000_000
_YEAR_1601 = datetime(1601, 1, 1, tzinfo=UTC)
_DEEPEST: Final = 8

_I32 = struct.Struct("<i").unpack_from
_U16 = struct.Struct("<H").unpack_from
_U32 = struct.Struct("<I").unpack_from
_I64 = struct.Struct("<q").unpack_from


class DecodeError(ValueError):
    """The bytes are not what the OPC UA encoding allows."""


class Unsupported:
    """The value of a type that has no place in our model (diagnostic information, arrays within
    arrays)."""

    def __repr__(self) -> str:
        return "UNSUPPORTED"


UNSUPPORTED: Final = Unsupported()


@dataclass(frozen=True, slots=True)
class Structure:
    """The value of an ExtensionObject."""

    type_id: str
    """Node id of its binary encoding, as text."""
    fields: dict[str, Any] | None = None
    """Field name -> text, number or list of numbers; None for a type that is not read."""


#: Type ids of the scalars of fixed size: struct format character.
FIXED: Final[dict[int, str]] = {
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
_FLOAT: Final = 10
_FIXED_ONE = {number: struct.Struct("<" + code) for number, code in FIXED.items()}


def ticks_to_ns(ticks: int) -> int | None:
    """100 ns ticks since 1601 -> ns since 1970; None for 'no time' (0 or less)."""
    return (ticks - TICKS_1970) * 100 if ticks > 0 else None


def time_text(ticks: int) -> str:
    """100 ns ticks since 1601 as ISO 8601 in UTC, to the microsecond, cut to the years 1601 to
    9999."""
    if ticks >= _TICKS_END:
        return "9999-12-31T23:59:59Z"
    moment = _YEAR_1601 + timedelta(microseconds=max(ticks, 0) // 10)
    return moment.isoformat().replace("+00:00", "Z")


def need(body: bytes, pos: int, size: int) -> int:
    """The position after `size` more bytes. Raises DecodeError when they are not there."""
    end = pos + size
    if size < 0 or end > len(body):
        raise DecodeError(f"{size} bytes expected at {pos} of {len(body)}")
    return end


def length(body: bytes, pos: int) -> tuple[int, int]:
    """An Int32 length or count; null (-1) and other negative numbers count as nothing."""
    need(body, pos, 4)
    number = _I32(body, pos)[0]
    # Every element has at least one byte (also an empty Variant), so a count beyond the bytes left
    # is a lie.
    if number > len(body) - pos - 4:
        raise DecodeError(f"length {number} at {pos} of {len(body)}")
    return max(number, 0), pos + 4


def octets(body: bytes, pos: int) -> tuple[bytes, int]:
    """A ByteString; null reads as empty."""
    size, pos = length(body, pos)
    return body[pos : pos + size], pos + size


def text(body: bytes, pos: int) -> tuple[str, int]:
    """A String; null reads as empty. Bytes that are not UTF-8 become U+FFFD, so that no store
    chokes on them."""
    raw, pos = octets(body, pos)
    return raw.decode("utf-8", "replace"), pos


def _hex(body: bytes, pos: int) -> tuple[str, int]:
    raw, pos = octets(body, pos)
    return raw.hex(), pos


def _time(body: bytes, pos: int) -> tuple[str, int]:
    end = need(body, pos, 8)
    return time_text(_I64(body, pos)[0]), end


def _guid(body: bytes, pos: int) -> tuple[str, int]:
    end = need(body, pos, 16)
    return str(uuid.UUID(bytes_le=body[pos:end])), end


def node_id(body: bytes, pos: int) -> tuple[str, int]:
    """A NodeId or ExpandedNodeId as text: `i=85`, `ns=2;s=Speed`, `nsu=URI;i=7`."""
    need(body, pos, 2)
    flags = body[pos] & 0xC0
    form = body[pos] & 0x3F
    namespace, name, pos = _plain_node_id(body, pos + 1, form)
    prefix = f"ns={namespace};" if namespace else ""
    if flags & 0x80:
        uri, pos = text(body, pos)
        prefix = f"nsu={uri};"
    if flags & 0x40:
        end = need(body, pos, 4)
        prefix, pos = f"svr={_U32(body, pos)[0]};{prefix}", end
    return prefix + name, pos


def _plain_node_id(body: bytes, pos: int, form: int) -> tuple[int, str, int]:
    if form == 0:
        need(body, pos, 1)
        return 0, f"i={body[pos]}", pos + 1
    if form == 1:
        end = need(body, pos, 3)
        return body[pos], f"i={_U16(body, pos + 1)[0]}", end
    need(body, pos, 2)
    namespace = _U16(body, pos)[0]
    pos += 2
    if form == 2:
        end = need(body, pos, 4)
        return namespace, f"i={_U32(body, pos)[0]}", end
    if form == 3:
        name, pos = text(body, pos)
        return namespace, f"s={name}", pos
    if form == 4:
        name, pos = _guid(body, pos)
        return namespace, f"g={name}", pos
    if form == 5:
        raw, pos = octets(body, pos)
        return namespace, f"b={b64encode(raw).decode()}", pos
    raise DecodeError(f"node id form {form}")


def _qualified_name(body: bytes, pos: int) -> tuple[str, int]:
    need(body, pos, 2)
    namespace = _U16(body, pos)[0]
    name, pos = text(body, pos + 2)
    return f"{namespace}:{name}" if namespace else name, pos


def _localized_text(body: bytes, pos: int) -> tuple[str, int]:
    need(body, pos, 1)
    mask = body[pos]
    pos = pos + 1
    said = ""
    if mask & 1:
        _, pos = text(body, pos)
    if mask & 2:
        said, pos = text(body, pos)
    return said, pos


def extension_object(body: bytes, pos: int) -> tuple[str, bytes, int]:
    """An ExtensionObject: (type id as text, its body, next position)."""
    kind, pos = node_id(body, pos)
    need(body, pos, 1)
    has_body = body[pos]
    pos = pos + 1
    if not has_body:
        return kind, b"", pos
    raw, pos = octets(body, pos)
    return kind, raw, pos


def _structure(body: bytes, pos: int) -> tuple[Structure, int]:
    """The few structures that describe other values are read, all others only named. A body that is
    not what its type says counts as not read."""
    type_id, raw, pos = extension_object(body, pos)
    read = _STRUCTURES.get(type_id)
    if read is None:
        return Structure(type_id), pos
    try:
        fields, end = read(raw)
    except DecodeError:
        return Structure(type_id), pos
    return Structure(type_id, fields if end == len(raw) else None), pos


def _range(raw: bytes) -> tuple[dict[str, Any], int]:
    end = need(raw, 0, 16)
    low, high = struct.unpack_from("<dd", raw, 0)
    return {"low": low, "high": high}, end


def _units(raw: bytes) -> tuple[dict[str, Any], int]:
    uri, pos = text(raw, 0)
    end = need(raw, pos, 4)
    number = _I32(raw, pos)[0]
    name, pos = _localized_text(raw, end)
    description, pos = _localized_text(raw, pos)
    return {
        "namespaceUri": uri,
        "unitId": number,
        "displayName": name,
        "description": description,
    }, pos


def _argument(raw: bytes) -> tuple[dict[str, Any], int]:
    name, pos = text(raw, 0)
    kind, pos = node_id(raw, pos)
    end = need(raw, pos, 4)
    rank = _I32(raw, pos)[0]
    count, pos = length(raw, end)
    end = need(raw, pos, 4 * count)
    dimensions = list(struct.unpack_from(f"<{count}I", raw, pos))
    description, pos = _localized_text(raw, end)
    found = {"name": name, "dataType": kind, "valueRank": rank, "arrayDimensions": dimensions}
    return {**found, "description": description}, pos


_STRUCTURES: Final[dict[str, Callable[[bytes], tuple[dict[str, Any], int]]]] = {
    "i=886": _range,  # Range (OPC 10000-8 §5.6.2)
    "i=889": _units,  # EUInformation (OPC 10000-8 §5.6.3)
    "i=298": _argument,  # Argument (OPC 10000-3 §8.6)
}


def diagnostic_info(body: bytes, pos: int, depth: int = 0) -> tuple[Unsupported, int]:
    """Skip a DiagnosticInfo: nobody asked for one."""
    need(body, pos, 1)
    mask = body[pos]
    pos = pos + 1
    if mask & 0x80 or depth > _DEEPEST:
        raise DecodeError(f"diagnostic information {mask:#04x} at depth {depth}")
    pos = need(body, pos, 4 * (mask & 0x0F).bit_count())
    if mask & 0x10:
        _, pos = octets(body, pos)
    if mask & 0x20:
        pos = need(body, pos, 4)
    return diagnostic_info(body, pos, depth + 1) if mask & 0x40 else (UNSUPPORTED, pos)


def skip_array(body: bytes, pos: int, item: Callable[[bytes, int], tuple[Any, int]]) -> int:
    """The position after an array whose values nobody needs."""
    count, pos = length(body, pos)
    for _ in range(count):
        _, pos = item(body, pos)
    return pos


_READERS: Final[dict[int, Callable[[bytes, int], tuple[Any, int]]]] = {
    12: text,
    13: _time,
    14: _guid,
    15: _hex,
    16: text,
    17: node_id,
    18: node_id,
    20: _qualified_name,
    21: _localized_text,
    22: _structure,
    25: diagnostic_info,
}


def variant(body: bytes, pos: int, depth: int = 0) -> tuple[Any, int]:
    """A Variant as one of our values, None for an empty one, or UNSUPPORTED. Matrices come
    flattened."""
    need(body, pos, 1)
    mask = body[pos]
    pos = pos + 1
    number = mask & 0x3F
    if depth > _DEEPEST:
        raise DecodeError(f"variants nested deeper than {_DEEPEST}")
    if not mask & 0x80:
        value, pos = _scalar(body, pos, number, depth)
    else:
        value, pos = _array(body, pos, number, depth)
    if mask & 0x40:
        count, pos = length(body, pos)
        pos = need(body, pos, 4 * count)
    return value, pos


def _scalar(body: bytes, pos: int, number: int, depth: int) -> tuple[Any, int]:
    fixed = _FIXED_ONE.get(number)
    if fixed is not None:
        end = need(body, pos, fixed.size)
        value = fixed.unpack_from(body, pos)[0]
        return (shortest_single(value) if number == _FLOAT else value), end
    reader = _READERS.get(number)
    if reader is not None:
        return reader(body, pos)
    if number == 0:
        return None, pos
    if number == 23:
        value, _, _, pos = data_value(body, pos, depth + 1)
        return value, pos
    if number == 24:
        return variant(body, pos, depth + 1)
    if number <= 31:  # reserved: the specification says to read them as a ByteString
        return UNSUPPORTED, octets(body, pos)[1]
    raise DecodeError(f"built-in type {number}")


def flat_array(values: list[Any]) -> list[Any] | tuple[Structure, ...] | Unsupported:
    """An array as our model knows it: of scalars only. Variants in it may be empty, or arrays
    themselves.

    Structures have no place in a batch before something plain is made of them, so an array of them
    is a tuple."""
    if Structure in map(type, values):
        return tuple(values) if set(map(type, values)) == {Structure} else UNSUPPORTED
    whole = UNSUPPORTED not in values and None not in values and list not in map(type, values)
    return values if whole else UNSUPPORTED


def _array(body: bytes, pos: int, number: int, depth: int) -> tuple[Any, int]:
    count, pos = length(body, pos)
    code = FIXED.get(number)
    if code is not None:
        end = need(body, pos, count * struct.calcsize("<" + code))
        items = list(struct.unpack_from(f"<{count}{code}", body, pos))
        return (shortest_singles(items) if number == _FLOAT else items), end
    if number == 0:
        # Elements without a byte: any count would fit into nothing.
        raise DecodeError("an array of null")
    values = []
    for _ in range(count):
        value, pos = _scalar(body, pos, number, depth + 1)
        values.append(value)
    return flat_array(values), pos


def data_value(body: bytes, pos: int, depth: int = 0) -> tuple[Any, int, int | None, int]:
    """A DataValue: (value, status, source time in ns or, without one, the server's, next
    position)."""
    need(body, pos, 1)
    mask = body[pos]
    pos = pos + 1
    value = None
    status = 0
    source = 0
    server = 0
    if mask & 0x01:
        value, pos = variant(body, pos, depth)
    if mask & 0x02:
        end = need(body, pos, 4)
        status = _U32(body, pos)[0]
        pos = end
    if mask & 0x04:
        end = need(body, pos, 8)
        source = _I64(body, pos)[0]
        pos = end
    if mask & 0x10:
        pos = need(body, pos, 2)
    if mask & 0x08:
        end = need(body, pos, 8)
        server = _I64(body, pos)[0]
        pos = end
    if mask & 0x20:
        pos = need(body, pos, 2)
    return value, status, ticks_to_ns(source if source > 0 else server), pos
