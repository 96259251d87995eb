"""The JSON documents on the wire, as the agent writes them (version 1).

A data document is spliced from three parts: a head compiled once per device and stream, the
sequence number the outbox gives, and a tail made from a batch. Nothing here costs an object per
value but the one dict that `orjson` wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import orjson

from edge_agent.model import Batch, Tag, Value, is_bad, status_name

VERSION = 1


def head(device: str, stream: str) -> bytes:
    """Everything before the sequence number of a document that goes through the outbox."""
    names = orjson.dumps({"v": VERSION, "device": device, "stream": stream})
    return names[:-1] + b',"seq":'


def stamp(t: int) -> bytes:
    """The read time twice: `ts` in milliseconds for people and tools, `t` in nanoseconds for the
    store."""
    return b',"ts":%d,"t":%d' % (t // 1_000_000, t)


def data_tail(batch: Batch) -> bytes:
    """Everything after the sequence number of a data document: stamps, values, and quality and
    source if any."""
    names = batch.table.names
    if batch.columns is not None:
        names = tuple([names[i] for i in batch.columns])
    values = dict(zip(names, batch.values, strict=True))
    parts = [stamp(batch.t), b',"values":']
    quality: dict[str, str] = {}
    for position, code in batch.status.items():
        name = names[position]
        quality[name] = status_name(code)
        if is_bad(code):
            del values[name]
    encoded = orjson.dumps(values)
    if b"null" in encoded:  # looked for in the bytes, which costs nothing for each value
        encoded = _without_nulls(values, quality)
    parts.append(encoded)
    if quality:
        parts += (b',"quality":', orjson.dumps(quality))
    if batch.source is not None:
        source = _source(batch, names, batch.source)
        if source:
            parts += (b',"source":', source)
    parts.append(b"}")
    return b"".join(parts)


def _without_nulls(values: dict[str, Value], quality: dict[str, str]) -> bytes:
    """The values encoded, less those that would travel as null. No code but a bad one may stand for
    nothing."""
    for name, value in list(values.items()):
        if value is None:
            reason = "BadWaitingForInitialData"
        elif _is_number(value):
            continue
        else:
            reason = "BadSensorFailure"
        del values[name]
        quality[name] = reason
    return orjson.dumps(values)


def _is_number(value: Value) -> bool:
    """False for what JSON has no number for (not a number, infinite), also within a list."""
    if isinstance(value, list):
        return all(_is_number(item) for item in value)
    return not isinstance(value, float) or isfinite(value)


def _source(batch: Batch, names: Sequence[str], source: Sequence[int | None]) -> bytes:
    """The device's own times in ms, of the tags that have one; nothing when none has."""
    first = source[0] if source else None
    # The values of one scan share their time, mostly even as one object: counting it is cheap,
    # dividing is not.
    if first is not None and source.count(first) == len(names):
        shared = first // 1_000_000
        if batch.columns is None:
            return (b"%d" % shared).join(batch.table.once(_around))
        return orjson.dumps(dict.fromkeys(names, shared))
    own = {name: t // 1_000_000 for name, t in zip(names, source, strict=True) if t is not None}
    return orjson.dumps(own) if own else b""


def _around(tags: Sequence[Tag]) -> list[bytes]:
    """What stands before, between and behind the numbers of an object with the names of these tags,
    all equal."""
    keys = [orjson.dumps(tag.name) for tag in tags]
    return [b"{%b:" % keys[0], *(b",%b:" % key for key in keys[1:]), b"}"]


def document_tail(t: int, fields: Mapping[str, Any]) -> bytes:
    """Everything after the sequence number of a health document."""
    return stamp(t) + b"," + orjson.dumps(fields)[1:]


def tag_document(tag: Tag, every: float) -> dict[str, Any]:
    """One tag in a birth document; keys without meaning for it are left out."""
    document: dict[str, Any] = (
        {"every": every} if tag.kind == "any" else {"type": tag.kind, "every": every}
    )
    if tag.unit:
        document["unit"] = tag.unit
    if tag.description:
        document["description"] = tag.description
    if tag.low is not None and tag.high is not None:
        document["range"] = [tag.low, tag.high]
    if tag.labels is not None:
        document["map"] = {str(number): text for number, text in tag.labels.items()}
    if tag.optional:
        document["optional"] = True
    if tag.business_link:
        document["business_link"] = tag.business_link
    if tag.was:
        document["was"] = tag.was
    if tag.scale != 1.0:
        document["scale"] = tag.scale
    if tag.offset != 0.0:
        document["offset"] = tag.offset
    if tag.scale_exponent_from is not None:
        document["exponent_from"] = tag.scale_exponent_from
    if tag.max_rate is not None:
        document["max_rate"] = tag.max_rate
    return document
