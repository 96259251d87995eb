"""Whether the embedded store's file and log are as they were written, and what each damaged block
belongs to."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import duckdb
import orjson

from edge_agent.stores.duckdb.blocks import (
    DATA,
    HEADER,
    HEADERS,
    absent_blocks,
    damaged_blocks,
    layout,
    mended,
    mended_header,
    read_log,
)
from edge_agent.stores.duckdb.log import log_path
from edge_agent.stores.duckdb.refusals import is_locked, refuse_foreign

#: Tables are named with a damaged block up to this number of blocks.
_NAMED: Final = 1_000
_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What was found. Nothing was changed."""

    path: str
    bytes: int
    blocks: int
    """Blocks that were read."""
    headers: tuple[int, ...]
    """Damaged headers, 0 to 2."""
    damaged: tuple[int, ...]
    """Damaged blocks, and those in use that lie beyond the end of a file that was cut short."""
    mendable: int
    """Damaged headers and blocks in which exactly one byte was changed, and is known."""
    log_bytes: int
    log_damaged: int
    """Bytes of the log behind its last commit that is whole, where they were damaged."""
    log_mendable: int
    """Entries of the log in which exactly one byte was changed."""
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether every byte that counts is as it was written."""
        return not (self.headers or self.damaged or self.log_damaged or self.log_mendable)


def check(path: Path, pause: Callable[[], None] | None = None) -> StoreCheck:
    """Read every header, block and entry of the log, without the engine and without a lock: beside
    a running service too. `pause` is called after each megabyte. Raises FindingsError for another
    program's file, OSError."""
    began = time.monotonic()
    refuse_foreign(path)
    with path.open("rb") as file:
        found = layout(file)
    blocks: list[int] = []
    absent: list[int] = []
    mendable = 0
    size = path.stat().st_size
    if found is not None:
        if found.blocks:
            blocks = damaged_blocks(path, found, pause)
            absent = absent_blocks(path, found)
        mendable = _mendable(path, found.size, blocks) + (
            len(found.damaged) if found.mendable else 0
        )
    state = read_log(log_path(path))
    return StoreCheck(
        path=str(path),
        bytes=size,
        blocks=0 if found is None else min(found.blocks, (size - DATA) // found.size),
        headers=() if found is None else found.damaged,
        damaged=(*blocks, *(absent if absent and tables_in(path, absent) != {} else ())),
        mendable=mendable,
        log_bytes=0 if state is None else state.size,
        log_damaged=0 if state is None or not state.damaged else state.size - state.whole,
        log_mendable=0 if state is None else state.mended,
        seconds=time.monotonic() - began,
    )


def _mendable(path: Path, size: int, blocks: Sequence[int]) -> int:
    count = 0
    with path.open("rb") as file:
        for number in blocks:
            file.seek(DATA + number * size)
            block = file.read(size)
            count += len(block) == size and mended(block) is not None
    return count


def tables_of(cursor: duckdb.DuckDBPyConnection, blocks: Collection[int]) -> dict[str, list[str]]:
    """Table -> its columns that lie in these blocks; `(catalogue)` where they describe the tables
    themselves. A block that is missing here is free, or belongs to an index. Raises
    duckdb.Error."""
    wanted = list(blocks)[:_NAMED]
    found: dict[str, list[str]] = {}
    if not wanted:
        return found
    for (name,) in cursor.execute(
        "select table_name from duckdb_tables() where not internal"
    ).fetchall():
        rows = cursor.execute(
            "select distinct column_name from pragma_storage_info(?) "
            "where block_id in (select unnest(?)) or list_has_any(additional_block_ids, "
            "?::bigint[]) order by 1",
            [name, wanted, wanted],
        ).fetchall()
        if rows:
            found[name] = [column for (column,) in rows]
    described = "select count(*) from pragma_metadata_info() where block_id in (select unnest(?))"
    row = cursor.execute(described, [wanted]).fetchone()
    if row and row[0]:
        found["(catalogue)"] = []
    return found


def tables_in(path: Path, blocks: Collection[int]) -> Mapping[str, list[str]] | None:
    """The same of a file that nobody has open; None where the engine cannot open it either. Of one
    that is in use nothing is said: its owner knows."""
    try:
        with contextlib.closing(
            duckdb.connect(str(path), read_only=True, config=NO_NETWORK)
        ) as connection:
            return tables_of(connection, blocks)
    except (duckdb.Error, OSError) as error:
        return {} if is_locked(error) else None


#: The engine must not fetch anything from elsewhere for a file that it does not understand.
NO_NETWORK: Final[dict[str, Any]] = {
    "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
}  # fmt: skip


def mended_copy(source: Path, target: Path) -> list[int]:
    """Put right in a copy what one changed byte did to the original; returns the blocks that stay
    damaged, a damaged header as a negative number. `target` is that copy, already made. Raises
    OSError."""
    with source.open("rb") as file, target.open("r+b") as copy:
        found = layout(file)
        if found is None:
            return []
        headers = [n for n in found.damaged if not _mend_at(file, copy, n * HEADER, HEADER)]
        blocks = damaged_blocks(source, found) if found.blocks else []
        blocks += absent_blocks(source, found) if found.blocks else []
        left = [
            number
            for number in blocks
            if not _mend_at(file, copy, DATA + number * found.size, found.size)
        ]
        return [number - HEADERS for number in headers] + left


def _mend_at(file: BinaryIO, copy: BinaryIO, at: int, size: int) -> bool:
    file.seek(at)
    block = file.read(size)
    repair = mended_header if size == HEADER else mended
    repaired = repair(block) if len(block) == size else None
    if repaired is None:
        return False
    copy.seek(at)
    copy.write(repaired)
    return True


def main(path: Path) -> None:
    """Check beside a running service, as slowly as nobody minds; print `StoreCheck` as JSON. What
    is found damaged is looked at twice: a header may have been half written."""
    os.nice(19)
    found = check(path, pause=_politely())
    if not found.is_sound:
        time.sleep(_AGAIN_S)
        found = check(path, pause=_politely())
    print(orjson.dumps({**asdict(found), "sound": found.is_sound}).decode())


def _politely() -> Callable[[], None]:
    """Rest after each megabyte for as long as reading it took, and a little more."""
    before = time.monotonic()

    def pause() -> None:
        nonlocal before
        time.sleep(min(1.0, time.monotonic() - before) + 0.005)
        before = time.monotonic()

    return pause


if __name__ == "__main__":
    main(Path(sys.argv[1]))
