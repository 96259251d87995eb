"""Power cuts: an ext4 file system on a loop device that loses at once everything that was not
synced."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


class Disk:
    """A mounted file system at `path`. Root only."""

    def __init__(self, folder: Path, megabytes: int = 64) -> None:
        self._image = folder / "disk.img"
        self.path = folder / "disk"
        with self._image.open("wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True)
        self.path.mkdir()
        self._mount()

    def cut(self) -> None:
        """The power goes: from now on every operation fails, and what was not synced is gone."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restore(self) -> None:
        """The power is back. Nobody may have files of the old mount open."""
        self._unmount()
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self._image, self.path], check=True)

    def _unmount(self) -> None:
        end = time.monotonic() + 10
        while subprocess.run(
            ["umount", self.path], stderr=subprocess.DEVNULL, check=False
        ).returncode:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.path} stays busy")
            time.sleep(0.02)  # poll: the last process is still being cleaned up


@contextlib.contextmanager
def disk(folder: Path, megabytes: int = 64) -> Iterator[Disk]:
    """A disk that is unmounted at the end."""
    made = Disk(folder, megabytes)
    try:
        yield made
    finally:
        made._unmount()


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A tmpfs of so many kB: a disk that is soon full."""
    path = folder / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
