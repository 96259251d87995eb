"""The few service messages we encode and decode ourselves (OPC 10000-4 and 10000-6): Read and
Publish.

Pure functions of bytes. A request is encoded once per connection; only its time changes from send
to send.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.opcua.binary import (
    TICKS_1970,
    DecodeError,
    diagnostic_info,
    extension_object,
    length,
    need,
    node_id,
    skip_array,
    text,
)
from connectors.opcua.columns import Columns, joined, walk

# Numbers of the binary encodings (NodeIds.csv, `*_Encoding_DefaultBinary`), as the four-byte node
# ids on the wire.
_SERVICE_FAULT = "i=397"
_READ_RESPONSE = "i=634"
_PUBLISH_RESPONSE = "i=829"
_DATA_CHANGE = "i=811"
_STATUS_CHANGE = "i=820"
_READ_REQUEST: Final = bytes((1, 0)) + struct.pack("<H", 631)
_PUBLISH_REQUEST: Final = bytes((1, 0)) + struct.pack("<H", 826)

_NULL_STRING: Final = b"\xff\xff\xff\xff"
_VALUE_ATTRIBUTE: Final = struct.pack("<I", 13) + _NULL_STRING + b"\x00\x00" + _NULL_STRING
_BOTH_TIMES: Final = 2
_U32 = struct.Struct("<I")
_TIME = struct.Struct("<q")


class ServiceFault(Exception):  # noqa: N818 - the name the specification gives it
    """The server refused the service; `code` is its OPC UA status."""

    def __init__(self, code: int) -> None:
        super().__init__(f"0x{code:08X}")
        self.code = code


@dataclass(slots=True)
class Published:
    """One PublishResponse."""

    subscription: int
    sequence: int
    """Of this message; of the next one when it carries no data (a keep-alive)."""
    available: Sequence[int] = ()
    """Messages the server still holds for Republish."""
    changes: Columns | None = None
    ended: int | None = None
    """The status with which the server ended the subscription."""
    data: bool = field(default=False)
    """False for a keep-alive, which is not acknowledged."""


class EncodedRequest:
    """An encoded request: everything but its time stays the same."""

    __slots__ = ("_body", "_time_at")

    def __init__(self, type_id: bytes, token: bytes, timeout_ms: int, parameters: bytes) -> None:
        self._time_at = len(type_id) + len(token)
        # RequestHeader: token, time, handle, diagnostics wanted, audit id, timeout hint, no
        # additional header.
        header = (
            _TIME.pack(0)
            + struct.pack("<II", 1, 0)
            + _NULL_STRING
            + _U32.pack(timeout_ms)
            + b"\x00\x00\x00"
        )
        self._body = bytearray(type_id + token + header + parameters)

    def at(self, now_ns: int) -> bytes:
        """The bytes to send now."""
        _TIME.pack_into(self._body, self._time_at, now_ns // 100 + TICKS_1970)
        return bytes(self._body)


def read_request(token: bytes, nodes: Sequence[bytes], timeout_ms: int) -> EncodedRequest:
    """Read the Value attribute of encoded node ids, no older than now, with both times."""
    parameters = struct.pack("<diI", 0.0, _BOTH_TIMES, len(nodes)) + _VALUE_ATTRIBUTE.join(
        [*nodes, b""]
    )
    return EncodedRequest(_READ_REQUEST, token, timeout_ms, parameters)


def publish_request(token: bytes, acknowledge: Sequence[tuple[int, int]]) -> EncodedRequest:
    """Ask for the next notification and acknowledge (subscription, sequence number) pairs."""
    pairs = b"".join(struct.pack("<II", *pair) for pair in acknowledge)
    return EncodedRequest(_PUBLISH_REQUEST, token, 0, _U32.pack(len(acknowledge)) + pairs)


def _response(body: bytes, expected: str) -> int:
    """Where the parameters of a response begin. Raises ServiceFault or DecodeError."""
    kind, pos = node_id(body, 0)
    need(body, pos, 16)
    result = _U32.unpack_from(body, pos + 12)[0]
    if result & 0x80000000 or kind == _SERVICE_FAULT:
        raise ServiceFault(result or 0x80000000)
    if kind != expected:
        raise DecodeError(f"message {kind} in the place of {expected}")
    _, pos = diagnostic_info(body, pos + 16)
    pos = skip_array(body, pos, text)
    return extension_object(body, pos)[2]


def refusal(body: bytes) -> ServiceFault | None:
    """The refusal that a response is; None for any other. Raises DecodeError."""
    if node_id(body, 0)[0] != _SERVICE_FAULT:
        return None
    need(body, node_id(body, 0)[1], 16)
    return ServiceFault(_U32.unpack_from(body, node_id(body, 0)[1] + 12)[0] or 0x80000000)


def read_response(body: bytes) -> Columns:
    """The columns of a ReadResponse. Raises ServiceFault or DecodeError."""
    return walk(body, _response(body, _READ_RESPONSE), handles=False)[0]


def publish_response(body: bytes) -> Published:
    """A PublishResponse. Raises ServiceFault or DecodeError."""
    pos = _response(body, _PUBLISH_RESPONSE)
    need(body, pos, 4)
    subscription = _U32.unpack_from(body, pos)[0]
    count, pos = length(body, pos + 4)
    end = need(body, pos, 4 * count)
    available = struct.unpack_from(f"<{count}I", body, pos)
    need(body, end, 1 + 4 + 8)
    out = Published(subscription, _U32.unpack_from(body, end + 1)[0], available)
    _notifications(body, end + 13, out)
    return out


def _notifications(body: bytes, pos: int, out: Published) -> None:
    """The NotificationData array: data changes, status changes; events are not asked for."""
    count, pos = length(body, pos)
    for _ in range(count):
        kind, raw, pos = extension_object(body, pos)
        out.data = True
        if kind == _DATA_CHANGE:
            changes = walk(raw, 0, handles=True)[0]
            out.changes = changes if out.changes is None else joined([out.changes, changes])
        elif kind == _STATUS_CHANGE:
            need(raw, 0, 4)
            out.ended = _U32.unpack_from(raw, 0)[0]
