"""The retained birth document of each device: who it is, and what its tags mean.

The agent keeps these documents for every new connection to the broker. They are kept in pieces, of
which those about the tags are shared by all devices with equal tags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from edge_agent.config.models import DeviceCommon, TagCommon
from edge_agent.model import Kind, Tag, TagTable
from edge_agent.payload import VERSION, tag_document
from edge_agent.sdk import Options, Plugin


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a connector says of where a tag is: another address, or another shape there, is another
    counter."""

    address: Callable[[object], str] | None = None
    modulus: Callable[[object], int | None] | None = None

    @classmethod
    def by(cls, plugin: Plugin) -> Meaning:
        return cls(plugin.address, plugin.modulus)

    def of(self, tag: Tag) -> dict[str, Any]:
        """Its part of the tag's entry; nothing for a tag that is derived from others."""
        if tag.where is None:
            return {}
        found: dict[str, Any] = {}
        if self.address is not None:
            found["address"] = " ".join([self.address(tag.where), *_shape(tag.where)])
        modulus = None if self.modulus is None else self.modulus(tag.where)
        return found if modulus is None else {**found, "modulus": modulus}


def _shape(where: object) -> list[str]:
    """The other keys by which the connector reads it, as far as they are written: `type=uint32`."""
    if not isinstance(where, Options):
        return []
    written = where.model_dump(
        mode="json", include=set(_own_keys(type(where))), exclude_unset=True, exclude_defaults=True
    )
    return [
        f"{key}={value}"
        for key, value in sorted(written.items())
        if key not in _PLACES and value is not None
    ]


#: Keys that `Plugin.address` speaks of.
_PLACES: Final = ("address", "node", "path", "bit")


@lru_cache(maxsize=16)
def _own_keys(model: type[Options]) -> frozenset[str]:
    """The connector's own keys of a tag, without those that all tags have."""
    return frozenset(model.model_fields) - frozenset(TagCommon.model_fields)


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
    meaning: Meaning | None = None,
) -> tuple[bytes, ...]:
    """The pieces of the document as it goes onto the wire.

    `path`: its topic; `t`: wall clock in ns; `kinds`: of tags whose type only the device knows, as
    far as they are known by now; `notes`: what to know of how a tag is read, by tag; `meaning`:
    what the connector says of where a tag is.
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
    meaning = meaning or Meaning()
    pieces = [orjson.dumps(known | {"t": t})[:-1] + b',"tags":{']
    for number, table in enumerate(tables):
        own = tuple((tag, note) for tag, note in sorted(notes.items()) if tag in table.names)
        pieces += [b","] * (number > 0) + [
            table.once(_tags, table.every, own, _of_table(table, kinds), meaning)
        ]
    return (*pieces, b"}}")


def _of_table(table: TagTable, kinds: Mapping[str, Kind]) -> tuple[tuple[str, Kind], ...]:
    return tuple((name, kinds[name]) for name in table.names if name in kinds) if kinds else ()


def _tags(
    tags: Sequence[Tag],
    every: float,
    notes: tuple[tuple[str, str], ...],
    kinds: tuple[tuple[str, Kind], ...],
    meaning: Meaning,
) -> bytes:
    """The entries of these tags. (The slice is also a copy of the right size: orjson's own result
    keeps its buffer.)"""
    known = dict(kinds)
    typed = [replace(tag, kind=known[tag.name]) if tag.name in known else tag for tag in tags]
    entries: dict[str, Any] = {
        tag.name: tag_document(tag, every) | meaning.of(tag) for tag in typed
    }
    for tag_name, note in notes:
        entries[tag_name]["note"] = note
    return orjson.dumps(entries)[1:-1]
