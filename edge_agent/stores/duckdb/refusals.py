"""Why the embedded store's file cannot be used, each as one sentence with a next step that costs no
data."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from edge_agent.errors import FindingsError
from edge_agent.reasons import words_of
from edge_agent.stores.duckdb.blocks import HEADERS, is_duckdb, layout
from edge_agent.words import command

#: What DuckDB says of bytes that are not as it wrote them: a checksum that does not fit, a file or
#: log cut short, and contents that cannot be understood.
_DAMAGE: Final = (
    "orrupt",
    "checksum",
    "read enough bytes",
    "replaying WAL",
    "not a valid DuckDB",
    "serializ",
    "out of range",
)
_FULL: Final = ("No space left", "disk full", "out of disk", "Disk quota exceeded")


def is_damage(error: BaseException) -> bool:
    """Whether DuckDB complains of bytes that were changed, by its own words: it has no class for
    that."""
    return any(words in str(error) for words in _DAMAGE)


def is_locked(error: BaseException) -> bool:
    """Whether another process has the file open."""
    return "set lock on file" in str(error)


def is_full(error: BaseException) -> bool:
    """Whether it complains of a full disk."""
    return (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or any(
        words in str(error) for words in _FULL
    )


def refusal(path: Path, error: BaseException) -> FindingsError:
    """Why the file could not be opened, from what the engine or the system said."""
    if isinstance(error, FindingsError):
        return error
    detail = (str(error).splitlines() or [type(error).__name__])[0]
    if is_full(error):
        return full(path)
    if is_locked(error):
        return locked(path)
    if isinstance(error, OSError) or "Cannot open file" in detail or "ermission denied" in detail:
        zh, en = words_of(error) if isinstance(error, OSError) else (detail, detail)
        return unreachable(path, zh, en)
    if (
        "database file with version" in detail
        or "storage version" in detail
        or "Failed to read WAL of version" in detail
    ):
        return newer_engine(path, detail)
    return damaged(path, detail)


def locked(path: Path) -> FindingsError:
    """Another process has the file open."""
    return FindingsError.one(
        "store-locked",
        f"数据库文件正被另一个进程使用：请先停止它，或通过正在运行的 {command('serve')} 查询。",
        "The store's file is in use by another process: stop that one, or ask the running "
        f"`{command('serve')}`.",
        str(path),
    )


def unreachable(path: Path, zh: str, en: str) -> FindingsError:
    """It cannot be opened or made; `zh`, `en`: the system's words."""
    return FindingsError.one(
        "store-unreachable",
        f"无法打开或创建数据库文件（{zh}）：请检查 store.path，以及该目录和文件是否允许本"
        "用户读写。",
        f"The store's file cannot be opened or created ({en}): check store.path, and that this "
        "user may read and write"
        " the folder and the file.",
        str(path),
    )


def full(path: Path) -> FindingsError:
    """No room on the disk."""
    return FindingsError.one(
        "store-disk-full",
        "磁盘已满，数据库打不开：请腾出空间后重新启动；已存的数据没有受损，"
        "不要删除数据库文件或旁边的 .wal。",
        "The disk is full and the store cannot be opened: free some space and start again; what "
        "is stored is unharmed,"
        " so delete neither the store's file nor the .wal beside it.",
        str(path),
    )


def newer_engine(path: Path, detail: str) -> FindingsError:
    """Written by a later DuckDB than this one."""
    return FindingsError.one(
        "store-engine-newer",
        f"数据库文件由更新版本的 DuckDB 写成，本程序读不了（{detail}），未被改动："
        "请安装写它的那个版本的 edge-agent。",
        f"A later DuckDB wrote the store's file and this one cannot read it ({detail}); it was "
        "left as it is: install"
        " the version of edge-agent that wrote it.",
        str(path),
    )


def damaged(path: Path, detail: str) -> FindingsError:
    """Bytes are not as they were written."""
    return FindingsError.one(
        "store-damaged",
        f"数据库文件有损坏（{detail}），未被改动：请运行 {command('store', 'check')} "
        "查看损坏在哪里，"
        f"再用 {command('store', 'salvage')} 把能读出的全部保留下来。",
        f"Bytes of the store's file are damaged ({detail}); it was left as it is: see where with"
        f" `{command('store', 'check')}`, then keep all that reads with "
        f"`{command('store', 'salvage')}`.",
        str(path),
    )


def not_a_store(path: Path) -> FindingsError:
    """No database of DuckDB's stands there."""
    empty = path.stat().st_size == 0
    what_zh = "是一个空文件" if empty else "不是本程序的数据库，而是其他程序的文件"
    what_en = (
        "is an empty file" if empty else "is no store of this program but another program's file"
    )
    return FindingsError.one(
        "store-foreign",
        f"store.path 指向的{what_zh}，未被改动：请改写另一个文件名，或先把它移到别处保存。",
        f"What stands at store.path {what_en}; it was left as it is: name another file, or move "
        "this one elsewhere and"
        " keep it.",
        str(path),
    )


def refuse_foreign(path: Path) -> None:
    """Before the engine looks at a file, which has its own ideas of other programs' files. One of
    ours whose head is damaged is the engine's to refuse.

    Raises FindingsError; OSError when the file cannot be read."""
    if is_duckdb(path):
        return
    with path.open("rb") as file:
        found = layout(file)
    if found is None or not found.blocks or len(found.damaged) == HEADERS:
        raise not_a_store(path)
