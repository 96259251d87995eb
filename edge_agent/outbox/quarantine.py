"""Damaged bytes are kept for whoever wants to look at them, up to a bound; they are never
delivered."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edge_agent.outbox.record import Damage

log = logging.getLogger(__name__)

FOLDER = "quarantine"
_MOST_FILES = 1000


class SegmentQuarantine:
    """A folder with one file per damaged range: `{segment}-{start}-{end}.bin`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder / FOLDER
        self._max_bytes = max_bytes
        files = list(self._folder.glob("*.bin"))
        self.size = sum(file.stat().st_size for file in files)
        """Bytes the folder holds now."""
        self._files = len(files)
        self.seen = 0
        """Damaged bytes found in this life, kept or not."""

    def keep(self, segment: Path, damage: Damage, data: bytes) -> None:
        """Copy the bytes; when the folder is full, or the disk is, they are only counted and
        logged."""
        self.seen += len(data)
        name = f"{segment.stem}-{damage.start}-{damage.end}.bin"
        log.error(
            "outbox-damage segment=%s from=%d to=%d bytes=%d",
            segment.name,
            damage.start,
            damage.end,
            len(data),
        )
        if self.size + len(data) > self._max_bytes or self._files >= _MOST_FILES:
            log.warning("outbox-quarantine-full bytes=%d files=%d", self.size, self._files)
            return
        # keeping evidence must not stop the agent; it is logged above
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with open(self._folder / name, "wb", opener=_private) as file:
                file.write(data)
            self.size += len(data)
            self._files += 1


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
