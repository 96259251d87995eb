"""The form of a backup: a tar archive that any tar can list, every byte of which is checked.

The first member, `edge-agent-backup.json`, has the number of the format; the last one,
`digests.json`, has name, size and SHA-256 of each member before it. Heads and padding are exactly
those that follow from name and size, so nothing can be changed that is not noticed.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from edge_agent.errors import FindingsError, newer_format

FORMAT: Final = 1
FIRST: Final = "edge-agent-backup.json"
LAST: Final = "digests.json"
_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)
_PART: Final = 1 << 20
_DOCUMENT_MOST: Final = 256 << 20
"""Bytes of the first and last member at the most."""
#: Written data is put on the disk in portions: one long flush at the end would make the store's own
#: commits wait for it.
_FLUSH: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a backup."""

    name: str
    size: int
    sha256: str


class BackupWriter:
    """Appends members to a new file. Raises OSError."""

    def __init__(self, file: BinaryIO, facts: dict[str, Any]) -> None:
        self._file = file
        self.members: list[Member] = []
        self._flushed = 0
        self.add(FIRST, orjson.dumps({"format": FORMAT, **facts}))

    def add(self, name: str, content: bytes) -> None:
        """A member that is in memory."""
        self.copy(name, len(content), [content])

    def copy(self, name: str, size: int, parts: Iterable[bytes]) -> bool:
        """A member of a size that is known before; False, and nothing is kept of it, where the
        parts are fewer bytes than that."""
        start = self._file.tell()
        digest = hashlib.sha256()
        self._file.write(_head(name, size))
        left = size
        for part in parts:
            kept = part[:left]
            digest.update(kept)
            self._file.write(kept)
            left -= len(kept)
            self._flush()
            if not left:
                break
        if left:
            self._file.seek(start)
            self._file.truncate()
            return False
        self._file.write(_padding(size))
        self.members.append(Member(name, size, digest.hexdigest()))
        return True

    def rewind(self, count: int) -> None:
        """Keep only the first members."""
        kept = self.members[:count]
        self._file.seek(sum(_bytes_of(member) for member in kept))
        self._file.truncate()
        self.members = kept

    def finish(self) -> int:
        """Close with the digests, and put all of it on the disk; returns the size."""
        content = _document(self.members)
        self._file.write(_head(LAST, len(content)) + content + _padding(len(content)) + _END)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def _flush(self) -> None:
        at = self._file.tell()
        if abs(at - self._flushed) >= _FLUSH:
            self._file.flush()
            os.fdatasync(self._file.fileno())
            with suppress(OSError):  # no such advice on this file system
                os.posix_fadvise(self._file.fileno(), 0, at, os.POSIX_FADV_DONTNEED)
            self._flushed = at


class BackupReader:
    """Reads a backup from its beginning to its end, and refuses whatever is not as it was
    written."""

    def __init__(self, path: Path, each: Callable[[int, int], None] | None = None) -> None:
        """`each` is called with the bytes read and the bytes there are. Raises FindingsError for
        what is no backup or a newer one, OSError."""
        self.path = path
        self._each = each
        with path.open("rb") as file:
            head = file.read(_BLOCK)
            if head[: len(FIRST)] != FIRST.encode():
                raise not_a_backup(path)
            name, size = self._name_and_size(head, file)
            if name != FIRST or size > _DOCUMENT_MOST:
                raise damaged(path)
            self.facts = self._facts(file.read(size))

    def _facts(self, content: bytes) -> dict[str, Any]:
        try:
            facts = orjson.loads(content)
            found = facts["format"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise damaged(self.path) from error
        if isinstance(found, int) and found > FORMAT:
            raise newer_format(self.path, found, FORMAT)
        if found != FORMAT:
            raise damaged(self.path)
        return dict(facts)

    def read(self, take: Callable[[str, int, Iterator[bytes]], None] | None = None) -> list[Member]:
        """Every member, checked. `take` gets name, size and content of each as it comes: only when
        `read` returns is it known that all of it is as it was written. Raises FindingsError,
        OSError."""
        size = self.path.stat().st_size
        found: list[Member] = []
        with self.path.open("rb") as file:
            while True:
                name, length = self._next(file)
                if name == LAST:
                    self._end(file, length, found)
                    return found
                digest = hashlib.sha256()
                content = self._content(file, length, digest.update, size)
                if take is not None:
                    take(name, length, content)
                for _ in content:  # what nobody took is checked all the same
                    pass
                if file.read(-length % _BLOCK).strip(b"\0"):
                    raise damaged(self.path)
                found.append(Member(name, length, digest.hexdigest()))

    def _next(self, file: BinaryIO) -> tuple[str, int]:
        return self._name_and_size(file.read(_BLOCK), file)

    def _name_and_size(self, head: bytes, file: BinaryIO) -> tuple[str, int]:
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise damaged(self.path) from error
        rest = self.path.stat().st_size - file.tell()
        if not 0 <= info.size <= rest or not info.name or not _fits(info, head):
            raise damaged(self.path)
        return info.name, info.size

    def _content(
        self, file: BinaryIO, length: int, update: Callable[[bytes], None], size: int
    ) -> Iterator[bytes]:
        left = length
        while left:
            part = file.read(min(_PART, left))
            if not part:
                raise damaged(self.path)
            left -= len(part)
            update(part)
            if self._each is not None:
                self._each(file.tell(), size)
            yield part

    def _end(self, file: BinaryIO, length: int, found: list[Member]) -> None:
        if length > _DOCUMENT_MOST:
            raise damaged(self.path)
        rest = file.read(length + (-length % _BLOCK) + len(_END) + 1)
        content = _document(found)
        if rest != content + _padding(len(content)) + _END:
            raise damaged(self.path)


def is_backup(path: Path) -> bool:
    """Whether a file begins as a backup does. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(FIRST)) == FIRST.encode()


def not_a_backup(path: Path) -> FindingsError:
    """Some other file."""
    return FindingsError.one(
        "no-backup",
        "这不是 edge-agent backup 写的备份文件：请检查文件名。",
        "This is no file that `edge-agent backup` wrote: check the file name.",
        str(path),
    )


def damaged(path: Path) -> FindingsError:
    """Its bytes are not those that were written."""
    return FindingsError.one(
        "backup-damaged",
        "备份文件不完整或有损坏，没有恢复任何内容：请使用另一份备份，或从原处重新复制这个文件。",
        "The backup is incomplete or damaged, and nothing of it was restored: use another backup, "
        "or copy the file again from where it was made.",
        str(path),
    )


def _head(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o600
    head = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    if len(head) != _BLOCK:
        raise ValueError(f"a member's name is too long: {name}")
    return head


def _fits(info: tarfile.TarInfo, head: bytes) -> bool:
    try:
        return _head(info.name, info.size) == head
    except ValueError:
        return False


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _bytes_of(member: Member) -> int:
    return _BLOCK + member.size + (-member.size % _BLOCK)


def _document(members: Iterable[Member]) -> bytes:
    rows = [
        {"name": member.name, "size": member.size, "sha256": member.sha256} for member in members
    ]
    return orjson.dumps({"members": rows}, option=orjson.OPT_INDENT_2)
