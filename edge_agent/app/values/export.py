"""All readings of a window into a file, page by page: CSV for people, Parquet for programs."""

from __future__ import annotations

import contextlib
import csv
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO
from zoneinfo import ZoneInfo

import numpy as np

from edge_agent.app.values.history import History, HistoryReading, HistoryTag, Progress
from edge_agent.app.values.source import ReadingsPage
from edge_agent.app.values.steps import HistoryStep
from edge_agent.app.values.text import for_file, iso
from edge_agent.model import status_name

COLUMNS: Final = ("t", "device", "tag", "value", "unit", "quality")
#: How a file begins that is not complete yet. (Not the target's own name, which may be as long as
#: names can be.)
_BESIDE: Final = ".history-"
STEP_COLUMNS: Final = (*COLUMNS, "min", "max", "last", "count")


def write_csv(
    history: History,
    tags: Sequence[HistoryTag],
    target: Path,
    zone: ZoneInfo,
    progress: Progress | None = None,
) -> int:
    """Every reading; `-` is standard output. Returns how many. The file appears when it is
    complete."""
    written = 0
    with _text_file(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for tag in tags:
            for page in history.pages(tag, progress):
                rows = map(HistoryReading, page.t.tolist(), page.values, page.status.tolist())
                writer.writerows([_cells(tag, row, zone) for row in rows])
                written += len(page)
    return written


def _cells(tag: HistoryTag, row: HistoryReading, zone: ZoneInfo) -> tuple[str, ...]:
    return (
        iso(row.t, zone),
        tag.shown,
        tag.tag,
        for_file(row.value),
        tag.unit,
        status_name(row.status),
    )


def write_step_csv(
    history: History, tags: Sequence[HistoryTag], every: int, target: Path, zone: ZoneInfo,
    progress: Progress | None = None,
) -> int:  # fmt: skip
    """Steps; `value` is the mean by time of a number, else the last value. Returns how many."""
    written = 0
    with _text_file(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(STEP_COLUMNS)
        for tag in tags:
            found = history.read(tag, every=every, most=0, progress=progress)
            writer.writerows([_step_cells(tag, step, zone) for step in found.steps])
            written += len(found.steps)
    return written


def _step_cells(tag: HistoryTag, step: HistoryStep, zone: ZoneInfo) -> tuple[str, ...]:
    value = step_value(tag, step)
    numbers = (
        for_file(number) for number in (value, step.low, step.high, step.last, step.readings)
    )
    value_text, low, high, last, count = numbers
    head = (iso(step.t, zone), tag.shown, tag.tag, value_text, tag.unit, status_name(step.status))
    return (*head, low, high, last, count)


def step_value(tag: HistoryTag, step: HistoryStep) -> Any:
    """What stands for a step: the mean by time of a number, the last of what has no mean."""
    countable = (
        isinstance(step.last, float | int) and not isinstance(step.last, bool) and not tag.labels
    )
    return step.mean if step.mean is not None and (countable or step.last is None) else step.last


@contextlib.contextmanager
def _text_file(target: Path) -> Iterator[TextIO]:
    if str(target) == "-":
        yield sys.stdout
        return
    if _takes_bytes(target):
        with target.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    with _replacing(target.resolve()) as path, path.open("w", encoding="utf-8", newline="") as file:
        yield file


def _takes_bytes(target: Path) -> bool:
    """Whether the target is a device or a pipe: written to, and never replaced by a file. Raises
    OSError for a folder, and for a place that cannot have a file, by the name that was given."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not target.resolve().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
    return target.exists() and not target.is_file()


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A path beside the target that takes its place at the end; nothing is left of it after a
    failure."""
    handle, name = tempfile.mkstemp(prefix=_BESIDE, dir=target.parent)
    os.close(handle)
    path = Path(name)
    try:
        yield path
        before = os.umask(0)
        os.umask(before)
        path.chmod(0o666 & ~before)
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


_TABLE: Final = (
    "create table readings (t_ns bigint, device varchar, tag varchar, value double, text "
    "varchar, unit varchar,"
    " quality varchar)"
)
_COPY: Final = (
    "copy (select make_timestamptz(t_ns // 1000) t, t_ns, device, tag, value, text, unit, "
    "quality from readings)"
    " to '{target}' (format parquet, compression zstd)"
)


def write_parquet(
    history: History, tags: Sequence[HistoryTag], target: Path, progress: Progress | None = None
) -> int:
    """Every reading, in the columns of the CSV; `value` is a number (true = 1), and what is none is
    in `text`.

    `t_ns` is the exact time; `-` is standard output. The readings are gathered in a database beside
    the target, so memory stays bounded.
    """
    import duckdb

    written = 0
    streams = str(target) == "-" or _takes_bytes(target)
    beside = None if streams else target.resolve().parent
    with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=beside) as folder:
        with contextlib.closing(duckdb.connect(f"{folder}/readings.duckdb")) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute("set threads = 1")
            connection.execute("set preserve_insertion_order = true")
            connection.execute(_TABLE)
            for tag in tags:
                for page in history.pages(tag, progress):
                    _append(connection, tag, page)
                    written += len(page)
            complete = f"{folder}/readings.parquet"
            connection.execute(_COPY.format(target=complete.replace("'", "''")))
        if streams:
            with Path(complete).open("rb") as file, _bytes_to(target) as to:
                shutil.copyfileobj(file, to)
        else:
            Path(complete).replace(target.resolve())
    return written


@contextlib.contextmanager
def _bytes_to(target: Path) -> Iterator[BinaryIO]:
    if str(target) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with target.open("wb") as file:
        yield file


def _append(connection: Any, tag: HistoryTag, page: ReadingsPage) -> None:
    """One page, by one scan over columns."""
    size = len(page)
    texts = [for_file(value) if _is_text(value) else None for value in page.values]
    incoming = {
        "t_ns": page.t,
        "value": np.ma.masked_array(page.num, np.isnan(page.num)),
        "text": np.array(texts, object),
        "quality": np.array([status_name(code) for code in page.status.tolist()], object),
        "device": np.full(size, tag.shown, object),
        "tag": np.full(size, tag.tag, object),
        "unit": np.full(size, tag.unit, object),
    }
    connection.register("incoming", incoming)
    try:
        connection.execute(
            "insert into readings select t_ns, device, tag, value, text, unit, quality from "
            "incoming"
        )
    finally:
        connection.unregister("incoming")


def _is_text(value: Any) -> bool:
    """What a number of the `value` column does not hold exactly."""
    exact = isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**53)
    return value is not None and not exact
