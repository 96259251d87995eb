"""The log of what was acknowledged: small, append-only, never synced, since losing it only means
sending again.

    record = crc32, kind u8, stream length u16, first u64, last u64, stream      (little endian)

The CRC covers all that follows it. A damaged record is skipped; the next valid one is found by
trying every byte.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

log = logging.getLogger(__name__)

FILE = "acks.log"

_HEAD = struct.Struct("<IBHQQ")
_REST = struct.Struct("<BHQQ")
_SLACK = 65_536
_LONGEST_STREAM = 1024


class AckKind(IntEnum):
    """What a record says of entries `first..last` of a stream."""

    ACKED = 1
    """The broker has them."""
    RELEASED = 2
    """They may leave the outbox (or have left it, dropped or damaged)."""
    WRITTEN = 3
    """They were written: what is not found later was lost."""


class Ack(NamedTuple):
    """One record."""

    kind: int
    stream: str
    first: int
    last: int


def pack(ack: Ack) -> bytes:
    """One record's bytes."""
    stream = ack.stream.encode()
    rest = _REST.pack(ack.kind, len(stream), ack.first, ack.last) + stream
    return crc32(rest).to_bytes(4, "little") + rest


def parse(raw: bytes) -> Iterator[Ack]:
    """Every valid record of a log's bytes."""
    at = 0
    while at + _HEAD.size <= len(raw):
        crc, kind, width, first, last = _HEAD.unpack_from(raw, at)
        end = at + _HEAD.size + width
        if (
            width > _LONGEST_STREAM
            or end > len(raw)
            or first > last
            or crc32(raw[at + 4 : end]) != crc
        ):
            at += 1
            continue
        yield Ack(kind, raw[at + _HEAD.size : end].decode(errors="replace"), first, last)
        at = end


def read(path: Path) -> list[Ack]:
    """All records of a log; none when there is no file."""
    try:
        return list(parse(path.read_bytes()))
    except FileNotFoundError:
        return []


class AckLog:
    """Appends to the log and rewrites it when it has grown by much more than it says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self.size = 0
        self._limit = 0
        self.broken = True
        """A write failed: what was to be recorded is in memory only, and the next `rewrite` saves
        it."""

    @property
    def due(self) -> bool:
        """Whether it is time for `rewrite`."""
        return self.size > self._limit

    def append(self, acks: Iterable[Ack]) -> None:
        """Record; without space on the disk nothing is raised, the log is `broken` until it can be
        rewritten."""
        data = b"".join(map(pack, acks))
        if self._fd < 0:
            return
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError(28, "the disk took only part of it")
        except OSError as error:
            if not self.broken:
                log.warning("acks-not-written reason=%s", error)
            self.broken = True
            return
        self.size += len(data)

    def rewrite(self, state: Mapping[tuple[int, str], Iterable[tuple[int, int]]]) -> None:
        """Replace the log by the given intervals per (kind, stream)."""
        data = b"".join(pack(Ack(k, s, a, b)) for (k, s), pairs in state.items() for a, b in pairs)
        fresh = self._path.with_suffix(".new")
        try:
            fd = os.open(
                fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            self._still_broken(error)
            return
        try:
            if os.write(fd, data) != len(data):
                raise OSError(28, "the disk took only part of it")
            fresh.rename(self._path)
        except OSError as error:
            os.close(fd)
            with contextlib.suppress(OSError):
                fresh.unlink()
            self._still_broken(error)
            return
        self.close()
        self._fd, self.size, self.broken = fd, len(data), False
        self._limit = 2 * len(data) + _SLACK

    def sync(self) -> None:
        """Put it on the medium. Raises OSError."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _still_broken(self, error: OSError) -> None:
        if not self.broken:
            log.warning("acks-not-rewritten reason=%s", error)
        self.broken = True
        self._limit = self.size + _SLACK
