"""The bytes of a segment file: pure functions between records and bytes.

    segment  = MAGIC record* [trailer]
    record   = marker "\\xF5\\xC1\\xFFR", crc32, payload length u32, values u32, seq u64, t i64,
               stream length u16, topic length u16, stream, topic, payload      (little endian)
    trailer  = body, footer: marker "\\xF5\\xC1\\xFFT", crc32 of body, length of body u32
    body     = data end u64, first seq u64, first t i64, last t i64, entries u32,
               stream length u16, stream, entries x offset u32, entries x values u32
               (both in the machine's byte order)

The CRC of a record covers all that follows it, and each record names its own stream and seq, so a
record can be trusted by itself whatever happened to its neighbours. The first three bytes of a
marker cannot occur in UTF-8 text: after damage the reader finds the next record without tripping
over payloads.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

MAGIC = b"EAOBX\x00\x01\n"
"""Name and version of the format: the byte before the line's end is its number."""
FORMAT = 1
MARKER = b"\xf5\xc1\xffR"
_TRAILER = b"\xf5\xc1\xffT"
_HEAD = struct.Struct("<4sIIIQqHH")
_REST = struct.Struct("<IIQqHH")
_FOOTER = struct.Struct("<4sII")
_BODY = struct.Struct("<QQqqIH")
_CRC_FROM = 8
HEAD_SIZE = _HEAD.size
FOOTER_SIZE = _FOOTER.size
MAX_PAYLOAD = 268_435_455
"""What one MQTT packet can carry."""

Buffer = bytes | memoryview


class OutboxEntry(NamedTuple):
    """One message of the outbox, as it will be published."""

    stream: str
    seq: int
    topic: str
    payload: bytes
    t: int
    """Read time, nanoseconds since 1970."""
    values: int
    """How many values the message carries (what the counters count)."""


class RecordHead(NamedTuple):
    """The fixed part of a record and where it lies."""

    offset: int
    size: int
    seq: int
    t: int
    values: int
    stream: int
    topic: int
    """Lengths of the stream and of the topic in bytes."""


class Damage(NamedTuple):
    """Bytes `start..end` of a segment that hold no valid record."""

    start: int
    end: int


@dataclass(slots=True)
class SegmentIndex:
    """Where the entries of a segment are: entry `first + i` begins at `offsets[i]`; 0 says that it
    is lost."""

    stream: str
    first: int
    first_t: int
    last_t: int
    data_end: int
    offsets: array[int]
    values: array[int]


def format_of(start: Buffer) -> int | None:
    """The number of the format that a segment's first bytes name; None when they name none."""
    start = bytes(start[: len(MAGIC)])
    return (
        start[6]
        if len(start) == len(MAGIC) and start[:6] + start[7:] == MAGIC[:6] + MAGIC[7:]
        else None
    )


def pack(stream: bytes, topic: bytes, payload: bytes, seq: int, t: int, values: int) -> bytes:
    """All of a record but its payload, which follows it in the file."""
    rest = _REST.pack(len(payload), values, seq, t, len(stream), len(topic)) + stream + topic
    return b"%b%b%b" % (MARKER, crc32(payload, crc32(rest)).to_bytes(4, "little"), rest)


def head_at(data: Buffer, at: int, base: int = 0) -> RecordHead | None:
    """The record that begins at `data[at]`, its CRC checked; None when there is none.

    `base` is the file offset of `data[0]`; the offset in the result is that of the file.
    """
    if len(data) - at < HEAD_SIZE:
        return None
    marker, crc, payload, values, seq, t, stream, topic = _HEAD.unpack_from(data, at)
    size = HEAD_SIZE + stream + topic + payload
    if marker != MARKER or at + size > len(data) or crc32(data[at + _CRC_FROM : at + size]) != crc:
        return None
    return RecordHead(base + at, size, seq, t, values, stream, topic)


def claimed_size(data: Buffer) -> int:
    """How long the record that seems to begin here says it is; endless when even its head is cut; 0
    when none is."""
    if bytes(data[: len(MARKER)]) != MARKER[: len(data)]:
        return 0
    if len(data) < HEAD_SIZE:
        return MAX_PAYLOAD
    _, _, payload, _, _, _, stream, topic = _HEAD.unpack_from(data)
    return int(HEAD_SIZE + stream + topic + payload)


def entry_of(head: RecordHead, record: Buffer) -> OutboxEntry:
    """The entry of a record (its bytes alone) whose head was found valid."""
    text = HEAD_SIZE + head.stream
    body = text + head.topic
    stream = bytes(record[HEAD_SIZE:text]).decode()
    topic = bytes(record[text:body]).decode()
    return OutboxEntry(
        stream, head.seq, topic, bytes(record[body : head.size]), head.t, head.values
    )


def scan(raw: bytes, start: int, end: int) -> Iterator[RecordHead | Damage]:
    """Walk the records of `raw[start:end]`; what is no valid record comes out as `Damage`, up to
    the next valid one."""
    data = memoryview(raw)[:end]
    at = start
    while at < end:
        head = head_at(data, at)
        if head is not None:
            yield head
            at += head.size
            continue
        resume = _next_valid(raw, data, at + 1)
        yield Damage(at, resume)
        at = resume


def _next_valid(raw: bytes, data: memoryview, at: int) -> int:
    """Where the next valid record begins, at or behind `at`; the end of the data when there is
    none."""
    end = len(data)
    while (at := raw.find(MARKER, at, end)) >= 0:
        if head_at(data, at) is not None:
            return at
        at += 1
    return end


def pack_trailer(index: SegmentIndex) -> bytes:
    """The trailer of a finished segment."""
    stream = index.stream.encode()
    fixed = _BODY.pack(
        index.data_end, index.first, index.first_t, index.last_t, len(index.offsets), len(stream)
    )
    body = b"".join((fixed, stream, index.offsets.tobytes(), index.values.tobytes()))
    return body + _FOOTER.pack(_TRAILER, crc32(body), len(body))


def trailer_length(footer: bytes) -> int:
    """How many bytes the body before this footer has; 0 when it is no footer."""
    if len(footer) != FOOTER_SIZE:
        return 0
    marker, _, length = _FOOTER.unpack(footer)
    return int(length) if marker == _TRAILER else 0


def parse_trailer(trailer: bytes, size: int) -> SegmentIndex | None:
    """The index in a trailer (body and footer) of a file of `size` bytes; None unless everything
    about it fits."""
    marker, crc, length = _FOOTER.unpack(trailer[-FOOTER_SIZE:])
    body = trailer[:-FOOTER_SIZE]
    if marker != _TRAILER or length != len(body) or length < _BODY.size or crc32(body) != crc:
        return None
    data_end, first, first_t, last_t, entries, width = _BODY.unpack_from(body)
    if data_end + len(trailer) != size or _BODY.size + width + 8 * entries != length:
        return None
    at = _BODY.size + width
    offsets = array("I", body[at : at + 4 * entries])
    values = array("I", body[at + 4 * entries :])
    return SegmentIndex(
        body[_BODY.size : at].decode(), first, first_t, last_t, data_end, offsets, values
    )
