"""`edge-agent backup`: one file of all that is the plant's, while it runs.

The order makes it consistent. First the outbox may let nothing go any more, and its log of
acknowledgements is read: what it calls delivered is in the store. Then the store makes no
checkpoint any more, and so what it has at this moment can be copied while it goes on storing. Then
the entries are copied: each that the store did not have at that moment is among them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import orjson

from edge_agent.backup.container import FORMAT, BackupReader, BackupWriter, is_backup
from edge_agent.backup.contents import PlantLayout
from edge_agent.backup.sources import (
    LeasedOutbox,
    LeasedStore,
    Renewal,
    copied_marks,
    leased_outbox,
    leased_store,
)
from edge_agent.config import load
from edge_agent.config.models import Site
from edge_agent.config.store_plugins import BUILT_IN
from edge_agent.discovery import Progress
from edge_agent.errors import FindingsError
from edge_agent.outbox import copying
from edge_agent.process import own_version
from edge_agent.reasons import words_of
from edge_agent.stores.duckdb.log import log_path
from edge_agent.stores.duckdb.snapshot import SnapshotCopy
from edge_agent.stores.formats import sync_folder

LAYOUT: Final = "layout.json"
"""The member that says where each other one stands: `{"files": [{"member", "path"}]}`."""
_PLANT: Final = "plant"
_TRIES: Final = 5
_LONGEST_NAME: Final = 90


@dataclass(slots=True)
class BackupReport:
    """What is in a backup that was made."""

    file: str
    bytes: int = 0
    format: int = FORMAT
    seconds: float = 0.0
    files: int = 0
    store: str = ""
    """The kind of the store."""
    store_bytes: int = 0
    """Of file and log; of a store behind HTTP, of its marks."""
    damaged_blocks: int = 0
    outbox_bytes: int = 0
    tries: int = 1
    """How often the store was copied: again where a checkpoint came between."""
    secrets: list[str] = field(default_factory=list)
    """Files with secrets and keys that are in it, by their place in the restored plant."""
    environment: list[str] = field(default_factory=list)
    """Variables of which it cannot have the content."""


def make_backup(
    config: Path, target: Path, shown: Progress = lambda done, of, what: None
) -> BackupReport:
    """Raises FindingsError, OSError; of a backup that did not become whole nothing is left."""
    began = time.monotonic()
    site = load(config, secrets=False)
    _refuse_target(target)
    report = BackupReport(str(target), store=site.store.kind)
    with _partial(target) as (file, part):
        _Backup(config, site, file, part, report, shown).run()
        sync_folder(part.parent)
    report.bytes = target.stat().st_size
    report.seconds = time.monotonic() - began
    return report


class _Backup:
    def __init__(
        self,
        config: Path,
        site: Site,
        file: BinaryIO,
        part: Path,
        report: BackupReport,
        shown: Progress,
    ) -> None:
        self._config = config
        self._site = site
        self._file = file
        self._part = part
        self._report = report
        self._shown = shown
        self._places: list[dict[str, str]] = []

    def run(self) -> None:
        """Write all of it."""
        with ExitStack() as stack:
            outbox = stack.enter_context(leased_outbox(self._site))
            self._layout = PlantLayout.of(self._config, self._site, outbox.state_folder)
            self._writer = BackupWriter(self._file, self._facts())
            self._plant_files()
            before = len(self._writer.members)
            for number in range(_TRIES):
                self._writer.rewind(before)
                self._places = self._places[: before - 1]
                self._report.tries = number + 1
                outbox.renew()
                if self._states(outbox):
                    break
            else:
                raise _rewritten_during_copies(self._site.store.path)
        self._writer.add(LAYOUT, orjson.dumps({"files": self._places}))
        self._report.files = len(self._places)
        self._writer.finish()

    def _facts(self) -> dict[str, Any]:
        layout = self._layout
        site = self._site
        self._report.secrets = layout.secrets
        self._report.environment = layout.environment
        return {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": own_version(),
            "agent": site.agent.id,
            "site": site.agent.site,
            "config": str(layout.place(layout.main)),
            "store": {"kind": site.store.kind, "path": str(layout.place(site.store.path))},
            "keys": None if layout.keys is None else str(layout.place(layout.keys)),
            "environment": layout.environment,
        }

    # --- what does not change ---------------------------------------------------------------------

    def _plant_files(self) -> None:
        for text in self._layout.texts:
            self._add(self._layout.place(text.path), self._layout.rewritten(text))
        for path, place in self._layout.files():
            self._copy_small(path, place)

    def _copy_small(self, path: Path, place: PurePosixPath) -> int:
        """A file that may be written to, or removed, while it is read; returns its size."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return 0
        self._add(place, content)
        return len(content)

    # --- what changes -----------------------------------------------------------------------------

    def _states(self, outbox: LeasedOutbox) -> bool:
        """Outbox and store as of one moment; False when a checkpoint came between."""
        store = self._site.store
        acks = copying.acknowledgements(outbox.path)
        if store.kind != "duckdb":
            if store.kind in BUILT_IN:
                self._marks(store.path.with_suffix(".sqlite"))
        elif store.path.exists():
            with leased_store(store.path) as source:
                self._outbox(outbox, acks, Renewal(outbox.renew, source.renew))
                return self._store(source, Renewal(source.renew))
        self._outbox(outbox, acks, Renewal(outbox.renew))
        return True

    def _outbox(self, outbox: LeasedOutbox, acks: dict[Path, bytes], renewal: Renewal) -> None:
        self._report.outbox_bytes = 0
        for path, content in acks.items():
            self._add(self._layout.place(path), content)
        store = self._site.store.path
        elsewhere = {store, log_path(store), store.with_suffix(".sqlite"), self._part}
        elsewhere |= {path for path, _ in self._layout.files()}
        for path in copying.other_files(outbox.path):
            if path in elsewhere:
                continue
            self._report.outbox_bytes += self._copy_small(path, self._layout.place(path))
            self._shown(self._report.outbox_bytes, None, "outbox")
            renewal()
        outbox.renew()

    def _store(self, source: LeasedStore, renewal: Renewal) -> bool:
        taken = source.taken
        total = taken.bytes + taken.log_bytes
        done = 0

        def each() -> None:
            nonlocal done
            done += 1 << 20
            self._shown(min(done, total), total, "store")
            renewal()

        copy = SnapshotCopy(source.path, source.descriptor, taken, each)
        place = self._layout.place(source.path)
        beside = place.with_name(log_path(source.path).name)
        whole = (
            (not taken.log_bytes or self._copy(beside, taken.log_bytes, copy.log()))
            and self._copy(place, taken.bytes, copy.file())
            and copy.is_consistent()
        )
        self._report.store_bytes = total
        self._report.damaged_blocks = copy.damaged
        return whole

    def _marks(self, path: Path) -> None:
        """Of a store behind HTTP: what is in the server, the server's own tools copy."""
        beside = self._part.with_name(self._part.name + ".marks")
        beside.touch(0o600)
        try:
            if copied_marks(path, beside):
                with beside.open("rb") as file:
                    size = beside.stat().st_size
                    place = self._layout.place(self._site.store.path).with_suffix(path.suffix)
                    self._copy(place, size, iter(lambda: file.read(1 << 20), b""))
                self._report.store_bytes = size
        finally:
            beside.unlink(missing_ok=True)

    # --- members ----------------------------------------------------------------------------------

    def _add(self, place: PurePosixPath, content: bytes) -> None:
        self._writer.add(self._name(place), content)

    def _copy(self, place: PurePosixPath, size: int, parts: Iterator[bytes]) -> bool:
        return self._writer.copy(self._name(place), size, parts)

    def _name(self, place: PurePosixPath) -> str:
        """The name of a member: its place, or a number where that is too long for a tar's head."""
        name = f"{_PLANT}/{place}"
        if len(name.encode()) > _LONGEST_NAME:
            name = f"{_PLANT}/{len(self._places):06}"
        self._places.append({"member": name, "path": str(place)})
        return name


def _refuse_target(target: Path) -> None:
    """What is there already stays, unless it is a backup. Raises FindingsError."""
    if target.is_dir():
        raise FindingsError.one(
            "backup-onto-folder",
            "--out 是一个目录：请写出备份文件的名称。",
            "--out is a folder: write the name of the backup file.",
            str(target),
        )
    if target.exists() and not (target.is_file() and is_backup(target)):
        raise FindingsError.one(
            "file-exists",
            "--out 的文件已存在，而且不是备份，没有改动它：请换一个文件名。",
            "The file of --out exists and is no backup; it was left as it is: use another name.",
            str(target),
        )


@contextmanager
def _partial(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside the target that takes its name when all went well, and is removed otherwise."""
    part = target.with_name(target.name + ".part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "r+b") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FindingsError.one(
                "backup-under-way",
                "另一个备份正在写这个文件：请等它结束，或换一个文件名。",
                "Another backup is being written to this file: wait until it ends, or use another "
                "name.",
                str(target),
            ) from error
        try:
            os.fchmod(descriptor, 0o600)
            file.truncate(0)
            yield file, part
            os.replace(part, target)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _full(target) from error
            if isinstance(error, OSError) and error.filename is None:
                raise _unreadable(target, error) from error
            raise


def _full(target: Path) -> FindingsError:
    return FindingsError.one(
        "backup-disk-full",
        "磁盘已满，备份没有写成，写了一部分的文件已删除：请腾出空间，或写到另一个磁盘。",
        "The disk is full and the backup could not be written; the part of it was removed: free "
        "some space, or write it to another disk.",
        str(target),
    )


def _unreadable(target: Path, error: OSError) -> FindingsError:
    """Neither a name nor a full disk: the disk itself, or a network behind it."""
    zh, en = words_of(error)
    return FindingsError.one(
        "backup-failed",
        f"读写磁盘出错（{zh}），没有写成备份：请检查数据库与备份所在的磁盘。",
        f"A disk failed ({en}) and no backup was made: check the disks of the store and of the "
        "backup.",
        str(target),
    )


def _rewritten_during_copies(path: Path) -> FindingsError:
    return FindingsError.one(
        "backup-store-rewritten",
        "复制期间数据库多次整理了文件（服务反复重启？），没有得到一致的备份：请稍后重试。",
        "The store was rewritten during each attempt to copy it (does the service restart again "
        "and again?), and no consistent backup was made: try again later.",
        str(path),
    )


def verify_backup(path: Path, shown: Progress = lambda done, of, what: None) -> dict[str, Any]:
    """Read all of a backup; its facts, with `members` and `bytes`. Raises FindingsError,
    OSError."""
    reader = BackupReader(path, lambda done, of: shown(done, of, "backup"))
    members = reader.read()
    return {**reader.facts, "members": len(members), "bytes": path.stat().st_size}
