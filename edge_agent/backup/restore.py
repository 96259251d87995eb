"""`edge-agent restore`: the plant of a backup in an empty folder, as a life of its own.

Its store gets a new id, and its outbox begins new streams as every outbox does when it is opened.
So agents elsewhere send what they still have once more, and the marks that came with the store tell
what of it is there already.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import duckdb
import orjson

from edge_agent.backup.container import FIRST, BackupReader, damaged
from edge_agent.backup.write import LAYOUT
from edge_agent.discovery import Progress
from edge_agent.errors import Finding, FindingsError
from edge_agent.reasons import words_of
from edge_agent.stores.duckdb.refusals import refusal
from edge_agent.stores.duckdb.schema import connect, mend
from edge_agent.stores.formats import sync_folder

_PART: Final = ".restore.part"


@dataclass(slots=True)
class Restored:
    """What was put up again."""

    into: str
    config: str
    """The plant file."""
    made: str
    """When the backup was."""
    store: str
    store_id: str = ""
    """The new id; empty for a store behind HTTP, and where there was none yet."""
    files: int = 0
    environment: list[str] = field(default_factory=list)
    """Variables that have to be set again."""
    keys: str = ""
    """A folder of certificates and keys that belongs into the agent's state folder."""
    findings: list[Finding] = field(default_factory=list)
    """What could not be put right."""


def restore(backup: Path, into: Path, shown: Progress = lambda done, of, what: None) -> Restored:
    """Check every byte, then put up the files. Raises FindingsError, OSError: then the folder is as
    it was."""
    reader = BackupReader(backup, lambda done, of: shown(done, of, "check"))
    _refuse_folder(into)
    files = _places(reader)
    existed = into.exists()
    part = into / _PART
    try:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.mkdir(mode=0o700)
        _extract(backup, part, files, shown)
        result = _made_new(reader.facts, part, into)
        _move_up(part, into, PurePosixPath(reader.facts["config"]))
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if not existed:
            shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(into, backup) from error
        if isinstance(error, OSError) and error.filename is None:
            zh, en = words_of(error)
            raise FindingsError.one(
                "restore-failed",
                f"读写磁盘出错（{zh}），没有恢复任何内容：请检查备份与目标所在的磁盘。",
                f"A disk failed ({en}) and nothing was restored: check the disks of the backup and "
                "of the folder.",
                str(into),
            ) from error
        raise
    result.files = len(files)
    return result


def _refuse_folder(into: Path) -> None:
    """Only an empty folder, or one in which a restore was broken off. Raises FindingsError."""
    if not into.exists():
        return
    if not into.is_dir():
        raise FindingsError.one(
            "restore-onto-file",
            "--into 是一个文件：请写一个空目录。",
            "--into is a file: name an empty folder.",
            str(into),
        )
    shutil.rmtree(into / _PART, ignore_errors=True)
    if any(into.iterdir()):
        raise FindingsError.one(
            "restore-not-empty",
            "目录不是空的，没有改动它：请写一个空目录，或一个新名称。",
            "The folder is not empty and was left as it is: name an empty one, or a new one.",
            str(into),
        )


def _places(reader: BackupReader) -> dict[str, PurePosixPath]:
    """Member -> its place; by then every byte is known to be as it was written. Raises
    FindingsError."""
    layout = bytearray()

    def take(name: str, size: int, content: Iterator[bytes]) -> None:
        if name == LAYOUT:
            layout.extend(b"".join(content))

    members = {member.name for member in reader.read(take)} - {FIRST, LAYOUT}
    try:
        files = {
            row["member"]: PurePosixPath(row["path"])
            for row in orjson.loads(bytes(layout))["files"]
        }
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise damaged(reader.path) from error
    inside = all(not place.is_absolute() and ".." not in place.parts for place in files.values())
    if files.keys() != members or not inside or len(set(files.values())) != len(files):
        raise damaged(reader.path)
    return files


def _extract(backup: Path, part: Path, files: dict[str, PurePosixPath], shown: Progress) -> None:
    def take(name: str, size: int, content: Iterator[bytes]) -> None:
        if name not in files:
            return
        target = part / files[name]
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for each in content:
                file.write(each)
            file.flush()
            os.fsync(file.fileno())

    BackupReader(backup, lambda done, of: shown(done, of, "restore")).read(take)


def _made_new(facts: dict[str, Any], part: Path, into: Path) -> Restored:
    """The store as one of its own."""
    result = Restored(
        str(into),
        str(into / facts["config"]),
        str(facts["made"]),
        str(facts["store"]["kind"]),
        environment=list(facts["environment"]),
        keys="" if facts["keys"] is None else str(into / facts["keys"]),
    )
    path = part / facts["store"]["path"]
    if result.store == "duckdb" and path.exists():
        try:
            result.store_id = _with_new_id(path)
        except FindingsError as error:
            if error.findings[0].code not in ("store-damaged", "store-damaged-blocks"):
                raise
            where = str(into / facts["store"]["path"])
            result.findings = [
                Finding(each.code, where, each.zh, each.en) for each in error.findings
            ]
    return result


def _with_new_id(path: Path) -> str:
    """Raises FindingsError where the store is damaged, or a newer version's."""
    fresh = secrets.token_hex(8)
    mend(path)
    try:
        with closing(connect(path)) as connection:
            connection.begin()
            connection.execute("delete from store_id")
            connection.execute("insert into store_id values (?, ?)", [fresh, time.time_ns()])
            connection.commit()
            connection.execute("checkpoint")
    except duckdb.Error as error:
        raise refusal(path, error) from error
    return fresh


def _move_up(part: Path, into: Path, config: PurePosixPath) -> None:
    """Out of the folder in which it was put together; the plant file last, so that there is none
    while anything is missing."""
    first = config.parts[0]
    for entry in sorted(part.iterdir(), key=lambda each: each.name == first):
        entry.rename(into / entry.name)
    part.rmdir()
    sync_folder(into)


def _full(into: Path, backup: Path) -> FindingsError:
    size = backup.stat().st_size / 1e6
    return FindingsError.one(
        "restore-disk-full",
        f"磁盘已满，没有恢复任何内容：请腾出约 {size:,.0f} MB，或恢复到另一个磁盘。",
        f"The disk is full and nothing was restored: free some {size:,.0f} MB, or restore to "
        "another disk.",
        str(into),
    )
