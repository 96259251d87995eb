"""The one way in which commissioning commands write files: a new one, or a changed one with its
former text kept."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Final

from edge_agent.commissioning.lists.editing import with_placeholders
from edge_agent.config import load
from edge_agent.config.models import Site
from edge_agent.config.plugins import Plugins
from edge_agent.errors import ConfigError, FindingsError

BOM: Final = b"\xef\xbb\xbf"
_UNSEEN: Final = ".tmp"
"""The ending of temporary files that an `include: lines/*.yaml` must not take in."""
_WITHOUT_TAGS: Final = frozenset({"no-tags", "wrong-type"})
"""What is said of a device without tags: of `tags:` with nothing behind it, that it is no
mapping."""
_PLACEHOLDER: Final = "placeholder"
_PLACEHOLDERS: Final = {
    "modbus": {_PLACEHOLDER: {"address": "holding/0"}},
    "opcua": {_PLACEHOLDER: {"node": "i=2258"}},
}


def write_new(path: Path, data: bytes) -> None:
    """Write a new file. Raises FindingsError for one that is there already: it may hold somebody's
    work."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise FindingsError.one(
            "file-exists",
            "文件已存在，没有改动它：请换一个文件名，或先把它移走。",
            "the file exists and was left as it is: use another name, or move it away first.",
            str(path),
        ) from None
    except OSError as error:
        raise FindingsError.one(
            "file-unwritable",
            f"无法写入（{error.strerror}），请检查目录和权限。",
            f"cannot be written ({error.strerror}); check the folder and the permissions.",
            str(path),
        ) from error


def backup_of(file: Path, day: date | None = None) -> Path:
    """Where the former text of a changed file is kept: `plant.yaml.bak` as it was before the last
    change, `plant.yaml.2026-12-01.bak` before the first one of a day."""
    return file.with_name(
        f"{file.name}.bak" if day is None else f"{file.name}.{day.isoformat()}.bak"
    )


@contextlib.contextmanager
def changed_file(
    file: Path, fresh: bytes, former: bytes, *, trial: bool, keep: bool = True
) -> Iterator[Path]:
    """The file with new content, which stays unless the block ends with an exception, or `keep` is
    false.

    With `trial` the block gets another file beside it; one that is included is read by its own
    name, and gets its former content back. A change that stays leaves the former content in the
    backups, with the same permissions: in that of the day only where there is none yet. A link
    stays a link: the file that it names is changed.
    """
    real = file.resolve()
    path = _beside(file, fresh, file.suffix) if trial else _beside(real, fresh, _UNSEEN)
    backup = _beside(file, former, _UNSEEN) if keep else None
    try:
        if trial:
            yield path
            if keep:
                _beside(real, fresh, _UNSEEN).replace(real)
        else:
            path.replace(real)
            try:
                yield file
            except BaseException:
                _beside(real, former, _UNSEEN).replace(real)
                raise
        if backup is not None:
            of_the_day = backup_of(file, datetime.now().astimezone().date())
            if not of_the_day.exists():
                _beside(file, former, _UNSEEN).replace(of_the_day)
            backup.replace(backup_of(file))
    finally:
        path.unlink(missing_ok=True)
        if backup is not None:
            backup.unlink(missing_ok=True)


def _beside(file: Path, data: bytes, suffix: str) -> Path:
    """A temporary file in the same folder, with the permissions and, for root, the owner of the
    file."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}.", suffix=suffix)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        former = file.stat()
        # a file of root's with mode 0600 could not be read by the service any more
        if os.geteuid() == 0:
            os.fchown(stream.fileno(), former.st_uid, former.st_gid)
        os.fchmod(stream.fileno(), former.st_mode & 0o7777)
    return Path(name)


def load_draft(config: Path, plugins: Plugins, *, device_secrets: bool | None = None) -> Site:
    """The site of a file in which devices may still be without tags. Raises ConfigError for other
    faults."""
    try:
        return load(config, plugins, secrets=False, device_secrets=device_secrets)
    except ConfigError as error:
        if not {finding.code for finding in error.findings} <= _WITHOUT_TAGS:
            raise
        first = error
    data = config.read_bytes().removeprefix(BOM)
    text = with_placeholders(data.decode("utf-8"), _PLACEHOLDERS)
    with changed_file(config, text.encode("utf-8"), data, trial=True, keep=False) as path:
        try:
            site = load(path, plugins, secrets=False, device_secrets=device_secrets)
        except ConfigError:
            raise first from None
    for device in site.devices:
        if _PLACEHOLDER in device.tags:
            del device.tags[_PLACEHOLDER]
    return site
