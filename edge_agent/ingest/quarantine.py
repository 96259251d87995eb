"""What no store would take: JSON lines in a private folder, with the reason, until somebody looks
at it."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.errors import FindingsError, StoreError
from edge_agent.reasons import cause, words_of

log = logging.getLogger(__name__)

_FILE_BYTES: Final = 4_000_000
_FILES: Final = 25
"""A flood of poison may fill 100 MB, then the oldest file goes and the log says so."""


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """One refused message, or some tags of one."""

    id: str
    t: int
    """When it came here, ns."""
    topic: str
    payload: bytes
    reason: str
    values: int
    """How many values it holds, as far as it could be read."""
    tags: tuple[str, ...] = ()
    """The refused tags of a message whose other tags were stored; empty: the whole message."""

    @classmethod
    def new(
        cls, t: int, topic: str, payload: bytes, reason: str, values: int, tags: Sequence[str] = ()
    ) -> RefusedMessage:
        """With an id of its own."""
        return cls(secrets.token_hex(4), t, topic, payload, reason, values, tuple(tags))

    def to_json(self) -> bytes:
        """One line. A payload that is not UTF-8 is in base64."""
        fields: dict[str, Any] = {
            "id": self.id,
            "t": self.t,
            "topic": self.topic,
            "reason": self.reason,
            "values": self.values,
        }
        if self.tags:
            fields["tags"] = self.tags
        try:
            fields["payload"] = self.payload.decode()
        except UnicodeDecodeError:
            fields["base64"] = base64.b64encode(self.payload).decode()
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, line: bytes) -> RefusedMessage:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for a line that is not
        one."""
        fields = orjson.loads(line)
        payload = (
            base64.b64decode(fields["base64"]) if "base64" in fields else fields["payload"].encode()
        )
        tags = tuple(fields.get("tags", ()))
        return cls(
            fields["id"],
            fields["t"],
            fields["topic"],
            payload,
            fields["reason"],
            fields["values"],
            tags,
        )


class MessageQuarantine:
    """The folder (0700, files 0600). Safe to use from the service and from the command line at
    once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, entries: Sequence[RefusedMessage]) -> None:
        """Write and sync; raises StoreError when the disk does not take it, so that nothing is
        acknowledged."""
        if not entries:
            return
        try:
            with self._locked():
                path = self._current()
                with open(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "ab") as out:
                    out.write(
                        b"".join([_line_end(out.fileno()), *(entry.to_json() for entry in entries)])
                    )
                    out.flush()
                    os.fsync(out.fileno())
        except OSError as error:
            why_zh, why_en = words_of(error)
            raise StoreError(cause("quarantine_failed", why=why_en, why_zh=why_zh)) from error
        for entry in entries:
            log.warning(
                "quarantined id=%s topic=%s values=%d reason=%r",
                entry.id,
                entry.topic,
                entry.values,
                entry.reason,
                extra={"cause": (entry.topic, entry.reason)},
            )

    def entries(self) -> Iterator[RefusedMessage]:
        """All, oldest first; a torn last line of a power cut is passed over. FindingsError: not
        ours to read."""
        with self._readable():
            files = self._files()
        for path in files:
            with self._readable():
                lines = path.read_bytes().splitlines()
            for line in lines:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    yield RefusedMessage.from_json(line)

    @property
    def filled(self) -> bool:
        """Whether there are entries, as far as we may look; reads none of them."""
        with contextlib.suppress(PermissionError):
            return bool(self._files())
        return False

    def drop(self, ids: Collection[str]) -> int:
        """Forget entries; returns how many there were. FindingsError: not ours to change."""
        with self._readable():
            if not self.folder.is_dir():
                return 0
            with self._locked():
                return sum(self._drop_from(path, ids) for path in self._files())

    def _drop_from(self, path: Path, ids: Collection[str]) -> int:
        entries = []
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entries.append(RefusedMessage.from_json(line))
        keep = [entry for entry in entries if entry.id not in ids]
        if len(keep) == len(entries):
            return 0
        if keep:
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(b"".join(entry.to_json() for entry in keep))
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(path)
        else:
            path.unlink()
        return len(entries) - len(keep)

    def _files(self) -> list[Path]:
        """Oldest first. PermissionError for a folder that may not be read, which `glob` takes for
        an empty one."""
        try:
            with os.scandir(self.folder) as found:
                return sorted(Path(entry.path) for entry in found if entry.name.endswith(".jsonl"))
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise FindingsError.one(
                "quarantine-not-ours",
                "无权读取隔离区：请用运行该服务的用户执行此命令（如 sudo -u）。",
                "No permission to read the quarantine: run the command as the service's user "
                "(such as `sudo -u`).",
                str(self.folder),
            ) from error

    def _current(self) -> Path:
        files = self._files()
        if files and files[-1].stat().st_size < _FILE_BYTES:
            return files[-1]
        for old in files[: max(0, len(files) - _FILES + 1)]:
            log.error("quarantine-full dropped=%s bytes=%d", old.name, old.stat().st_size)
            old.unlink()
        return self.folder / f"{time.time_ns():020d}.jsonl"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _line_end(descriptor: int) -> bytes:
    """What ends a line that a power cut left torn, so that the next entry is not lost with it."""
    size = os.fstat(descriptor).st_size
    return b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
