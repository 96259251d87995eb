"""A format has a number: what is newer than this program is refused and left alone, what is older
is copied first."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_agent.errors import FindingsError
from edge_agent.reasons import words_of

#: ioctl of Linux: the copy shares the blocks of the original (btrfs, XFS), whatever its size.
_FICLONE: Final = 0x40049409


def foreign(path: Path, tables: Sequence[str]) -> FindingsError:
    """The refusal of a database that is another program's."""
    named = ", ".join(tables[:5])
    return FindingsError.one(
        "store-foreign",
        f"这是其他程序的数据库（其中有表 {named}），未被改动：请在 store.path 写另一个文件名。",
        f"This database is another program's (it has the tables {named}) and was left as it is: "
        "name another file "
        "under store.path.",
        str(path),
    )


def keep_copy(path: Path, version: int, beside: Sequence[Path] = ()) -> Path:
    """Copy a file of an older format (and what belongs to it) to `NAME.format-N`, before it is
    changed; returns the copy. One that is there already stays: it is the older one. Raises
    FindingsError when there is no room."""
    target = path.with_name(f"{path.name}.format-{version}")
    if target.exists():
        return target
    parts = [path, *(part for part in beside if part.exists())]
    size = sum(part.stat().st_size for part in parts)
    try:
        for part in reversed(parts):  # the file itself last: when it is there, all is
            copy(part, part.with_name(part.name.replace(path.name, target.name, 1)))
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise FindingsError.one(
            "no-room-for-copy",
            f"升级格式前要先复制一份，但复制失败（{why_zh}）：请腾出 {size / 1e6:,.0f} MB，"
            f"或自行备份后把副本放到 {target}；原文件未被改动。",
            "A copy is kept before the format is changed, and it could not be written "
            f"({why_en}): free"
            f" {size / 1e6:,.0f} MB, or back the file up yourself and put the copy at {target}. "
            "The file was left as it"
            " is.",
            str(path),
        ) from error
    return target


def copy(source: Path, target: Path) -> None:
    """All of it or nothing, on the disk. Raises OSError."""
    part = target.with_name(target.name + ".part")
    try:
        with (
            source.open("rb") as old,
            open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as new,
        ):
            if not _shared(old.fileno(), new.fileno()):
                shutil.copyfileobj(old, new, 1 << 20)
                new.flush()
            os.fsync(new.fileno())
        part.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shared(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True
