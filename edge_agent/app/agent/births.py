"""The retained birth document of each device: who it is, and what its tags mean.

The agent keeps these documents for every new connection to the broker. They are kept in pieces, of which those about
the tags are shared by all devices with equal tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from edge_agent.config.models import DeviceCommon
from edge_agent.model import Kind, Tag, TagTable
from edge_agent.payload import VERSION, tag_document


def birth(
    device: DeviceCommon,
    tables: Sequence[TagTable],
    kinds: Mapping[str, Kind],
    *,
    agent: str,
    path: str,
    area: str,
    staleness: float,
    t: int,
    notes: Mapping[str, str],
) -> tuple[bytes, ...]:
    """The pieces of the document as it goes onto the wire.

    `path`: its topic; `t`: wall clock in ns; `kinds`: of tags whose type only the device
    knows, as far as they are known by now; `notes`: what to know of how a tag is read, by tag.
    """
    who: dict[str, Any] = {
        "v": VERSION,
        "device": device.id,
        "name": device.name,
        "was": device.was,
        "agent": agent,
        "connector": device.connector,
        "profile": device.profile,
        "area": area,
        "line": device.line,
        "cell": device.cell,
        "state_basis": "derived" if device.derives_state else "",
        "path": path,
        "staleness": staleness,
    }
    known = {key: value for key, value in who.items() if value not in (None, "")}
    pieces = [orjson.dumps(known | {"t": t})[:-1] + b',"tags":{']
    for number, table in enumerate(tables):
        own = tuple((tag, note) for tag, note in sorted(notes.items()) if tag in table.names)
        pieces += [b","] * (number > 0) + [table.once(_tags, table.every, own, _of_table(table, kinds))]
    return (*pieces, b"}}")


def _of_table(table: TagTable, kinds: Mapping[str, Kind]) -> tuple[tuple[str, Kind], ...]:
    return tuple((name, kinds[name]) for name in table.names if name in kinds) if kinds else ()


def _tags(
    tags: Sequence[Tag],
    every: float,
    notes: tuple[tuple[str, str], ...],
    kinds: tuple[tuple[str, Kind], ...],
) -> bytes:
    """The entries of these tags. (The slice is also a copy of the right size: orjson's own result keeps its buffer.)"""
    known = dict(kinds)
    typed = [replace(tag, kind=known[tag.name]) if tag.name in known else tag for tag in tags]
    entries: dict[str, Any] = {tag.name: tag_document(tag, every) for tag in typed}
    for tag_name, note in notes:
        entries[tag_name]["note"] = note
    return orjson.dumps(entries)[1:-1]
