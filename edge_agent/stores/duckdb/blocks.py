"""The embedded store's file and its log as bytes: which of them are as they were written, told by
their checksums.

DuckDB's file is three headers of 4 KiB and then blocks of one size; each begins with a checksum of
the rest. Its log is a header and then entries, each with its length and checksum; an entry of one
constant form ends each commit. Reading this way needs no engine, takes no lock, and can be done
beside the process that owns the file.

The checksum is an exclusive or of the words, each multiplied by an odd number, and that can be
solved for one word. So where exactly one byte is not what was written, the checksum often says
which one, and what it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

HEADER: Final = 4096
HEADERS: Final = 3
DATA: Final = HEADER * HEADERS
"""Where the first block begins."""

MAGIC: Final = b"DUCK"
_MAGIC_AT: Final = 8
_FACTOR: Final = 0xBF58476D1CE4E5B9
_INVERSE: Final = pow(_FACTOR, -1, 1 << 64)
_SEED: Final = 5381
_CHANCE: Final = 1e-6
_WORD: Final = (1 << 64) - 1

#: In a header: iteration, metadata, free list, number of blocks, their size.
_STATE: Final = struct.Struct("<QQQQQ")
#: Bytes of a header that may be other than zero: of the second and third, and of the first.
_HEADER_USED: Final = (64, 144, 512, 1024)
_SIZES: Final = (16_384, 32_768, 65_536, 131_072, 262_144)

#: The log begins with this; then its version, the file it belongs to, and an end.
_LOG_BEGIN: Final = bytes.fromhex("6400626500")
_LOG_FILE: Final = b"\x66\x00"
_LOG_ITERATION: Final = b"\x67\x00"
_LOG_END: Final = b"\xff\xff"
_LOG_HEAD_LONGEST: Final = 128
_LOG_ENTRY: Final = struct.Struct("<QQ")
_COMMIT: Final = bytes.fromhex("640064ffff")
"""The entry that ends a commit."""


def checksum(content: bytes | memoryview) -> int:
    """DuckDB's checksum of bytes whose number is a multiple of eight."""
    words = np.frombuffer(content, "<u8")
    return int(np.bitwise_xor.reduce(words * np.uint64(_FACTOR))) ^ _SEED if len(words) else _SEED


def log_checksum(content: bytes) -> int:
    """The same of a log's entry, of any length."""
    whole = len(content) & ~7
    found = checksum(content[:whole])
    return found if whole == len(content) else found ^ _remainder(content[whole:])


def _remainder(content: bytes) -> int:
    """MurmurHash64A of the last few bytes, as DuckDB has it."""
    factor = 0xC6A4A7935BD1E995
    shift = 47
    found = 0xE17A1465 ^ ((len(content) * factor) & _WORD)
    found = ((found ^ int.from_bytes(content, "little")) * factor) & _WORD
    found = ((found ^ (found >> shift)) * factor) & _WORD
    return found ^ (found >> shift)


def is_sound(block: bytes) -> bool:
    """Whether a header or block is as it was written."""
    return int.from_bytes(block[:8], "little") == checksum(memoryview(block)[8:])


def mended_header(head: bytes) -> bytes | None:
    """The same of a header, of which all but the beginning is zeros."""
    for used in _HEADER_USED:
        emptied = head[:used] + bytes(HEADER - used)
        found = emptied if is_sound(emptied) else mended(emptied, used)
        if found is not None:
            return found
    return None


def mended(block: bytes, used: int | None = None) -> bytes | None:
    """A block of which exactly one byte was changed, as it was; None where that is not what
    happened to it, or where it cannot be said which byte that was. `used`: how many bytes of it may
    have been changed.

    The checksum does not know the places of words: a change of a word that stands there several
    times fits at each of them. Nor does it tell the upper bytes of words well: it is the better,
    the more bytes of the word lie above the changed one. What might as well be another change, with
    a chance of more than one in a million, is left alone.
    """
    stored = int.from_bytes(block[:8], "little")
    wrong = stored ^ checksum(memoryview(block)[8:])
    if not wrong:
        return block
    words = np.frombuffer(block[8:used], "<u8")
    was = ((words * np.uint64(_FACTOR)) ^ np.uint64(wrong)) * np.uint64(_INVERSE)
    changed = (was ^ words).view(np.uint8).reshape(-1, 8)
    found = np.flatnonzero(np.count_nonzero(changed, axis=1) == 1)
    if _is_one_byte(wrong):  # of the checksum itself
        return _sure(block, 0, stored ^ wrong, wrong, len(words)) if not len(found) else None
    if len(found) != 1:
        return None
    first = int(found[0])
    return _sure(
        block, 8 + 8 * first, int(was[first]), int(was[first]) ^ int(words[first]), len(words)
    )


def _sure(block: bytes, at: int, word: int, changed: int, words: int) -> bytes | None:
    """The block with a word as it was, where it is none of the others by far."""
    above = 7 - ((changed & -changed).bit_length() - 1) // 8
    if words * 256.0**-above > _CHANCE:
        return None
    return block[:at] + word.to_bytes(8, "little") + block[at + 8 :]


def _is_one_byte(word: int) -> bool:
    return sum(1 for byte in word.to_bytes(8, "little") if byte) == 1


@dataclass(frozen=True, slots=True)
class Layout:
    """What the headers say."""

    size: int
    """Bytes of a block."""
    blocks: int
    """Blocks that the newest checkpoint knows."""
    damaged: tuple[int, ...]
    """Headers (0 to 2) that are not as they were written."""
    mendable: bool
    """Whether all of those can be put right."""


def is_duckdb(path: Path) -> bool:
    """Whether a file is DuckDB's, told by its first header; one without content is nobody's. Raises
    OSError."""
    with path.open("rb") as file:
        head = file.read(_MAGIC_AT + len(MAGIC))
    return len(head) > _MAGIC_AT and head[_MAGIC_AT:] == MAGIC


def layout(file: BinaryIO) -> Layout | None:
    """Read the headers; None where our reading does not fit the file, and so nothing can be said.
    Raises OSError."""
    file.seek(0)
    heads = [file.read(HEADER) for _ in range(HEADERS)]
    if any(len(head) < HEADER for head in heads):
        return Layout(
            _SIZES[-1],
            0,
            tuple(n for n in range(HEADERS) if len(heads[n]) < HEADER),
            mendable=False,
        )
    damaged = tuple(n for n in range(HEADERS) if not is_sound(heads[n]))
    repaired = [mended_header(head) if n in damaged else head for n, head in enumerate(heads)]
    if len(damaged) == HEADERS and not any(repaired):
        return None
    known = [_STATE.unpack_from(head, 8) for head in repaired[1:] if head is not None]
    newest = max(known, default=None)
    size = newest[4] if newest is not None and newest[4] in _SIZES else _SIZES[-1]
    return Layout(size, newest[3] if newest is not None else 0, damaged, mendable=all(repaired))


def read_blocks(
    file: BinaryIO, size: int, pause: Callable[[], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Every whole block with its number. `pause` is called after each megabyte. Raises OSError."""
    at = DATA
    group = max(1, (1 << 20) // size)
    file.seek(at)
    number = 0
    while part := file.read(size * group):
        for start in range(0, len(part) - size + 1, size):
            yield number, part[start : start + size]
            number += 1
        if pause is not None:
            pause()


def absent_blocks(path: Path, found: Layout) -> list[int]:
    """Numbers of the blocks beyond the file's end: free ones, which the engine cuts off, or a file
    was cut short."""
    return list(range((path.stat().st_size - DATA) // found.size, found.blocks))


def damaged_blocks(path: Path, found: Layout, pause: Callable[[], None] | None = None) -> list[int]:
    """Numbers of the blocks that are not as they were written, as far as the file reaches.

    A block that is being written at this moment is read again later. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        suspect = []
        for number, block in read_blocks(file, found.size, pause):
            if number < found.blocks and not is_sound(block):
                suspect.append(number)
        if pause is not None and suspect:
            pause()
        damaged = []
        for number in suspect:
            file.seek(DATA + number * found.size)
            block = file.read(found.size)
            if len(block) < found.size or not is_sound(block):
                damaged.append(number)
    return damaged


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log is worth."""

    size: int
    """Bytes."""
    whole: int
    """Up to here every entry is as it was written, and the last one ends a commit."""
    damaged: bool
    """Whether anything behind that was changed. What a cut left unwritten is no damage: nobody was
    told of it."""
    content: bytes
    """The log up to `whole`; the bytes that could be put right are so."""
    mended: int
    """Entries that were put right."""


def read_log(path: Path) -> LogState | None:
    """Look at a log; None where there is none. Raises OSError."""
    try:
        raw = bytearray(path.read_bytes())
    except FileNotFoundError:
        return None
    begin = _log_head(raw)
    if begin is None:
        # Too short for a head: cut while it was begun, before the first commit.
        cut = len(raw) < _LOG_HEAD_LONGEST and _COMMIT not in raw
        return LogState(len(raw), 0, not cut, b"", 0)
    at = begin
    whole = begin
    repaired = 0
    while (entry := _log_entry(raw, at)) is not None:
        content, end, changed = entry
        raw[at:end] = content
        repaired += changed
        at = end
        if content[_LOG_ENTRY.size :] == _COMMIT:
            whole = at
    damaged = at < len(raw) and (_is_whole_entry(raw, at) or _commit_after(raw, at))
    return LogState(len(raw), whole if whole > begin else 0, damaged, bytes(raw[:whole]), repaired)


def _log_head(raw: bytearray) -> int | None:
    """Where the entries begin; None for what is no log of a version we know. Behind its version it
    may name the file it belongs to (bytes, each as a variable-length number) and that file's
    iteration."""
    if raw[: len(_LOG_BEGIN)] != _LOG_BEGIN:
        return None
    at = _behind_number(raw, len(_LOG_BEGIN))
    if raw[at : at + 2] == _LOG_FILE:
        count = raw[at + 2] if at + 2 < len(raw) else 0
        at += 3
        for _ in range(count):
            at = _behind_number(raw, at)
    if raw[at : at + 2] == _LOG_ITERATION:
        at = _behind_number(raw, at + 2)
    return at + 2 if raw[at : at + 2] == _LOG_END else None


def _behind_number(raw: bytearray, at: int) -> int:
    """Where a variable-length number ends: its last byte alone is below 128."""
    while at < len(raw) and raw[at] >= 0x80:
        at += 1
    return at + 1


def _is_whole_entry(raw: bytearray, at: int) -> bool:
    """Whether the entry that does not fit its checksum is there to its end, or was never more than
    begun."""
    if len(raw) - at < _LOG_ENTRY.size:
        return False
    size, _ = _LOG_ENTRY.unpack_from(raw, at)
    return bool(size <= len(raw) - at - _LOG_ENTRY.size)


def _commit_after(raw: bytearray, at: int) -> bool:
    """Whether another commit follows: then what stands at `at` was whole once."""
    known = _LOG_ENTRY.pack(len(_COMMIT), log_checksum(_COMMIT)) + _COMMIT
    return raw.find(known, at) >= 0


def _log_entry(raw: bytearray, at: int) -> tuple[bytes, int, int] | None:
    """(the entry, its end, 1 where it was put right); None where there is none that is sound or can
    be made so."""
    if len(raw) - at < _LOG_ENTRY.size:
        return None
    size, stored = _LOG_ENTRY.unpack_from(raw, at)
    start = at + _LOG_ENTRY.size
    end = start + size
    if end > len(raw):
        return None
    content = bytes(raw[start:end])
    if log_checksum(content) == stored:
        return bytes(raw[at:end]), end, 0
    repaired = _mended_entry(content, stored)
    if repaired is None:
        return None
    return _LOG_ENTRY.pack(size, log_checksum(repaired)) + repaired, end, 1


def _mended_entry(content: bytes, stored: int) -> bytes | None:
    """An entry of which one byte was changed, or its checksum, as it was. Of the few bytes behind
    its last whole word nothing is tried."""
    whole = len(content) & ~7
    tail = _remainder(content[whole:]) if whole < len(content) else 0
    block = mended((stored ^ tail).to_bytes(8, "little") + content[:whole]) if whole else None
    return None if block is None else block[8:] + content[whole:]
