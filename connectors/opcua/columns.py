"""Lists of DataValues walked from the response bytes straight into columns.

A server answers a table with long runs of records of one layout (same fields present, same scalar
type), and such a run is one `struct` of all its records. Records of any other layout are decoded
one at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from connectors.opcua.binary import (
    FIXED,
    TICKS_1970,
    DecodeError,
    data_value,
    length,
    need,
    ticks_to_ns,
)
from edge_agent.sdk import shortest_singles

_WINDOW: Final = 256
"""Records looked at together: long enough to make the cost of a run small, short enough to make a
miss cheap."""

_HANDLE = struct.Struct("<I")


@dataclass(slots=True)
class Columns:
    """Decoded records, aligned: what `values.Shape.settle` turns into the columns of a batch."""

    values: list[Any] = field(default_factory=list)
    """Our values, None for an empty one, UNSUPPORTED for a type without a place in our model."""
    status: dict[int, int] = field(default_factory=dict)
    """Position -> status code, where the server sent one that is not 0."""
    source: list[int | None] = field(default_factory=list)
    """Source time in ns; the server's time where the source has none."""
    handles: list[int] = field(default_factory=list)
    """Client handles (of notifications only)."""
    singles: list[tuple[int, int]] = field(default_factory=list, repr=False)
    """While it is decoded: from where to where there are numbers of single precision as they
    came."""


def joined(parts: Sequence[Columns]) -> Columns:
    """The columns of consecutive responses as one; of a single one, that itself."""
    first = parts[0] if parts else Columns()
    for part in parts[1:]:
        start = len(first.values)
        first.values += part.values
        first.source += part.source
        first.handles += part.handles
        if part.status:
            first.status.update((start + i, code) for i, code in part.status.items())
    return first


@dataclass(frozen=True, slots=True)
class _RecordLayout:
    """The form of one record and where its columns are; None = the record has no such field."""

    form: str
    size: int
    """Bytes of a record."""
    width: int
    """Columns that unpacking gives."""
    value: int
    status: int | None
    source: int | None
    both: bool
    """Whether the server's time is there too, to stand in for a source time of 0."""
    single: bool
    """Whether the values are of single precision."""


@lru_cache(maxsize=512)
def _layout(handle: bool, mask: int, number: int) -> _RecordLayout | None:
    """The fixed layout of records with this DataValue mask and Variant encoding byte, or None."""
    code = FIXED.get(number)
    if code is None or not mask & 0x01 or mask > 0x3F:
        return None
    at = int(handle)
    form = "I2x" if handle else "2x"
    form += code
    columns = at + 1
    status = source = None
    if mask & 0x02:
        form = form + "I"
        status = columns
        columns = columns + 1
    if mask & 0x04:
        form = form + "q"
        source = columns
        columns = columns + 1
    form += "2x" if mask & 0x10 else ""
    if mask & 0x08:
        # The server's time is wanted only where there is no source time.
        if source is not None:
            form += "8x"
        else:
            form = form + "q"
            source = columns
            columns = columns + 1
    form += "2x" if mask & 0x20 else ""
    return _RecordLayout(
        form,
        struct.calcsize("<" + form),
        columns,
        at,
        status,
        source,
        mask & 0x0C == 0x0C,
        code == "f",
    )


@lru_cache(maxsize=32)
def _records(form: str, count: int) -> struct.Struct:
    """A run of records as one struct: no tuple for each. A table's runs are of the same few lengths
    every time."""
    return struct.Struct("<" + form * count)


def _leading(column: bytes, value: int) -> int:
    """How many bytes at the start equal `value`."""
    return len(column) - len(column.lstrip(bytes((value,))))


def walk(body: bytes, pos: int, handles: bool) -> tuple[Columns, int]:
    """Decode an array of DataValues (of MonitoredItemNotifications when `handles`). Raises
    DecodeError."""
    count, pos = length(body, pos)
    out = Columns()
    lead = 4 if handles else 0
    while (left := count - len(out.values)) > 0:
        need(body, pos, lead + 1)
        mask = body[pos + lead]
        number = body[pos + lead + 1] if pos + lead + 1 < len(body) else 0
        layout = _layout(handles, mask, number)
        if layout is None:
            pos = _one(body, pos, handles, out)
        else:
            pos = _run(body, pos, lead, layout, min(left, _WINDOW), out)
    if out.singles:
        _shorten(out)
    return out, pos


def _shorten(out: Columns) -> None:
    """Turn the single-precision numbers into their shortest decimals, all runs of them at once."""
    values = out.values
    runs = out.singles
    if runs == [(0, len(values))]:
        out.values = shortest_singles(values)
    else:
        short = shortest_singles([value for start, end in runs for value in values[start:end]])
        at = 0
        for start, end in runs:
            values[start:end] = short[at : at + end - start]
            at += end - start
    out.singles = []


def _run(body: bytes, pos: int, lead: int, layout: _RecordLayout, most: int, out: Columns) -> int:
    """Decode the records from `pos` that share the layout of the first one, at most `most`."""
    size = layout.size
    run = min(most, (len(body) - pos) // size)
    if run == 0:
        raise DecodeError(f"a record of {size} bytes expected at {pos} of {len(body)}")
    # The first record's layout fixes where the second begins, and so on: a run ends at the first
    # byte that differs.
    end = pos + run * size
    run = min(
        run,
        _leading(body[pos + lead : end : size], body[pos + lead]),
        _leading(body[pos + lead + 1 : end : size], body[pos + lead + 1]),
    )
    end = pos + run * size
    fields = _records(layout.form, run).unpack_from(body, pos)
    width = layout.width
    start = len(out.values)
    if lead:
        out.handles += fields[::width]
    out.values += fields[layout.value :: width]
    if layout.single:
        joins = out.singles and out.singles[-1][1] == start
        out.singles.append((out.singles.pop()[0] if joins else start, len(out.values)))
    if layout.status is not None and any(fields[layout.status :: width]):
        out.status.update(
            (start + i, code) for i, code in enumerate(fields[layout.status :: width]) if code
        )
    if layout.source is None:
        out.source += [None] * run
    else:
        ticks = fields[layout.source :: width]
        times = _times(ticks)
        # Equal times are one object, so that the usual scan costs two comparisons here.
        if layout.both and (times[0] is None or (times[0] is not times[-1] and min(ticks) <= 0)):
            times = [data_value(body, at + lead)[2] for at in range(pos, end, size)]
        out.source += times
    return end


def _times(ticks: tuple[int, ...]) -> list[int | None]:
    """Ticks as ns. The values of one PLC scan carry one time: then it is converted once, and is one
    object."""
    first = ticks[0]
    if first == ticks[-1] and ticks.count(first) == len(ticks):
        return [ticks_to_ns(first)] * len(ticks)
    if min(ticks) > 0:
        return [(t - TICKS_1970) * 100 for t in ticks]
    return [(t - TICKS_1970) * 100 if t > 0 else None for t in ticks]


def _one(body: bytes, pos: int, handles: bool, out: Columns) -> int:
    """Decode one record of any layout."""
    if handles:
        end = need(body, pos, 4)
        out.handles.append(_HANDLE.unpack_from(body, pos)[0])
        pos = end
    value, status, source, pos = data_value(body, pos)
    if status:
        out.status[len(out.values)] = status
    out.values.append(value)
    out.source.append(source)
    return pos
