"""Messages of one chunk on a channel without security: what nearly every read and every
notification is.

asyncua builds five objects for each such chunk, which is as much work as all its values. What is
anything else (signed, in several chunks, under a renewed token, out of order) is left to asyncua,
state and checks included.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from asyncua.common.connection import SecureConnection
from asyncua.crypto.security_policies import CryptographyNone

_HEADER: Final = struct.Struct("<4sIIIII")
"""Type and chunk type, size, channel, token, sequence number, request id (OPC 10000-6 §6.7.2)."""
_NUMBER: Final = struct.Struct("<I")
_WHOLE: Final = b"MSGF"

_STATE: Final = (
    "_sequence_number",
    "_peer_sequence_number",
    "_incoming_parts",
    "_limits",
    "security_token",
    "security_policy",
)


def fits(connection: Any) -> bool:
    """Whether this version of asyncua keeps a channel's state where it is looked for here."""
    return all(hasattr(connection, name) for name in _STATE)


def _is_plain(connection: SecureConnection) -> bool:
    return type(connection.security_policy.symmetric_cryptography) is CryptographyNone


def pack(connection: SecureConnection, body: bytes, request: int) -> bytes | None:
    """The chunk that carries a request; None when that is for asyncua to make."""
    size = _HEADER.size + len(body)
    number = connection._sequence_number + 1
    if size > connection._limits.max_send_buffer or number >= 1 << 32 or not _is_plain(connection):
        return None
    connection._sequence_number = number
    token = connection.security_token
    return _HEADER.pack(_WHOLE, size, token.ChannelId, token.TokenId, number, request) + body


def request_of(connection: SecureConnection, chunk: bytes) -> int | None:
    """The request that a chunk answers, if all of the answer is in it and it is the next one; None
    when asyncua is to judge."""
    if len(chunk) < _HEADER.size:
        return None
    kind, size, channel, token, number, request = _HEADER.unpack_from(chunk)
    ours = connection.security_token
    before = connection._peer_sequence_number
    usual = (
        kind == _WHOLE
        and size == len(chunk) <= connection._limits.max_recv_buffer
        and channel == ours.ChannelId
        and token == ours.TokenId
        and before is not None
        and number == before + 1
        and not connection._incoming_parts
        and _is_plain(connection)
    )
    return request if usual else None


def take(connection: SecureConnection, chunk: bytes) -> bytes:
    """The body of a chunk that `request_of` found to be usual; the next one has the next number."""
    connection._peer_sequence_number = _NUMBER.unpack_from(chunk, 16)[0]
    return chunk[_HEADER.size :]
