"""From a message to columns: strict about shape, without an object per value beyond the dict that
orjson makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.identity import SEPARATOR
from edge_agent.model import STATUS, status_code
from edge_agent.names import NotANameError, fault
from edge_agent.payload import VERSION
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import (
    ARRAY,
    EXACT,
    INT,
    KIND_OF,
    NO_TIME,
    NONE,
    TEXT,
    Chunk,
    Codes,
    Longs,
)

_ITEMS: Final = frozenset({bool, int, float, str, type(None)})
_INT64: Final = 2**63
#: Source times are clamped to what integer nanoseconds can say: the years 1678 to 2262.
_SOURCE_MS: Final = (_INT64 - 1) // 1_000_000
_NO_VALUE: Final = STATUS["Bad"]


class MalformedError(ValueError):
    """The payload is not a document of ours; its text is the reason, short and stable enough to
    count by."""


def document(payload: bytes) -> dict[str, Any]:
    """The payload as a JSON object. Raises MalformedError."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MalformedError("not JSON") from error
    if type(found) is not dict:
        raise MalformedError("not a JSON object")
    return found


def version(found: Mapping[str, Any]) -> None:
    """Raises MalformedError for a document of another version than ours."""
    if found.get("v") != VERSION:
        raise MalformedError("unknown version")


def text(found: Mapping[str, Any], key: str) -> str:
    """A non-empty string without control characters."""
    value = found.get(key)
    if type(value) is not str or not value or not value.isprintable():
        raise MalformedError(f"{key} is not a name")
    return value


def agent(name: str) -> str:
    """An agent's id. Raises MalformedError for one that no agent can have."""
    if not name or SEPARATOR in name:
        raise MalformedError("the agent is not a name")
    return name


def number(found: Mapping[str, Any], key: str) -> int:
    """An integer from 0 that fits 64 bits."""
    value = found.get(key)
    if type(value) is not int or not 0 <= value < _INT64:
        raise MalformedError(f"{key} is not a 64-bit integer from 0")
    return value


def table(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object; absent is empty."""
    value = found.get(key)
    if value is None:
        return {}
    if type(value) is not dict:
        raise MalformedError(f"{key} is not an object")
    return value


def data(found: dict[str, Any], catalogue: Catalogue, key: str = "") -> Chunk:
    """The samples of a data document: its values, then the tags it only speaks of as bad. `key`: of
    its device; without it the device is the own agent's."""
    device = text(found, "device")
    t = number(found, "t")
    values = table(found, "values")
    quality = table(found, "quality")
    silent = [name for name in quality if name not in values] if quality else []
    names = (*values, *silent)
    if not all(names):
        raise MalformedError("a tag has no name")
    readings = [*values.values(), *[None] * len(silent)]
    try:
        kinds = bytes(map(KIND_OF.__getitem__, map(type, readings)))
    except KeyError as error:
        raise MalformedError("a value is neither number, boolean, text nor list") from error
    kind = np.frombuffer(kinds, np.uint8)
    texts = _take_texts(readings, kind) if kinds.count(TEXT) or kinds.count(ARRAY) else {}
    num = np.array(readings, np.float64)
    if INT in kinds and (np.abs(num) >= EXACT).any():
        texts |= {
            i: str(readings[i])
            for i in range(len(kinds))
            if kinds[i] == INT and abs(readings[i]) >= EXACT
        }
    status = _status(names, kind, quality) if quality or NONE in kinds else None
    source = _source(names, table(found, "source")) if "source" in found else None
    try:
        ids = catalogue.ids(key or device, names)
    except NotANameError as error:
        raise MalformedError(str(error)) from error
    return Chunk(ids, t, num, kind, status, source, texts)


def _take_texts(readings: list[Any], kind: np.ndarray[Any, Any]) -> dict[int, str]:
    """Move texts and arrays out of the list of readings, which then holds numbers and None."""
    texts: dict[int, str] = {}
    for position in np.flatnonzero(kind >= TEXT).tolist():
        value = readings[position]
        if type(value) is list:
            if not _ITEMS.issuperset(map(type, value)):
                raise MalformedError(
                    "an array holds something other than numbers, booleans or texts"
                )
            value = orjson.dumps(value).decode()
        texts[position] = value
        readings[position] = None
    return texts


def _status(
    names: tuple[str, ...], kind: np.ndarray[Any, Any], quality: Mapping[str, Any]
) -> Codes:
    """Codes aligned with the names. Where there is no value the code is a bad one, whatever the
    message says."""
    codes: list[int] = []
    for name in names:
        word = quality.get(name)
        codes.append(0 if word is None else _code(word))
    status = np.array(codes, np.uint32)
    status[(kind == NONE) & (status < _NO_VALUE)] = (
        _NO_VALUE  # below it severities are good and uncertain
    )
    return status


def _code(word: object) -> int:
    try:
        code = status_code(word) if type(word) is str else -1
    except ValueError:
        code = -1
    if not 0 <= code < 2**32:
        raise MalformedError("quality is not a status code")
    return code


def _source(names: tuple[str, ...], source: Mapping[str, Any]) -> Longs | None:
    """Source times in ns aligned with the names. What a far-off clock says is kept, within what 64
    bits hold."""
    times = list(source.values())
    if not {int}.issuperset(map(type, times)):
        raise MalformedError("a source time is not an integer of milliseconds")
    if times and (max(times) > _SOURCE_MS or min(times) < -_SOURCE_MS):
        source = {name: max(-_SOURCE_MS, min(_SOURCE_MS, t)) for name, t in source.items()}
    if tuple(source) == names:
        return np.array(list(source.values()), np.int64) * 1_000_000
    return np.array(
        [source[name] * 1_000_000 if name in source else NO_TIME for name in names], np.int64
    )


_HEALTH_COUNTS: Final = ("due", "done", "good", "bad", "values", "overruns")
_HEALTH_TIMES: Final = ("period_s", "scheduled_s", "covered_s", "latency_ms", "latency_max_ms")


def health(found: dict[str, Any]) -> dict[str, Any]:
    """A device's health document, checked: what it has is of the right type. Raises
    MalformedError."""
    text(found, "device")
    number(found, "t")
    for key in _HEALTH_COUNTS:
        if key in found:
            number(found, key)
    for key in _HEALTH_TIMES:
        if type(found.get(key)) not in (int, float, type(None)):
            raise MalformedError(f"{key} is not a number")
    for key in ("state", "reason"):
        if type(found.get(key, "")) is not str:
            raise MalformedError(f"{key} is not a text")
    last = found.get("last_good_t")
    if last is not None and (type(last) is not int or not -_INT64 <= last < _INT64):
        raise MalformedError("last_good_t is not a time")
    _transition(table(found, "transition"))
    if not all(type(value) is str for value in table(found, "cause").values()):
        raise MalformedError("cause holds something other than texts")
    moves = found.get("tag_transitions", [])
    if type(moves) is not list or not all(type(move) is dict for move in moves):
        raise MalformedError("tag_transitions is not a list of objects")
    for move in moves:
        _transition(move)
    return _storable(found)


def _transition(found: Mapping[str, Any]) -> None:
    if not all(type(value) is str for value in found.values()):
        raise MalformedError("transition holds something other than texts")


def agent_health(found: dict[str, Any]) -> dict[str, Any]:
    """An agent's health document, its gap record checked. Raises MalformedError."""
    text(found, "device")
    number(found, "t")
    gap = table(found, "gap")
    if gap:
        text(gap, "stream")
        for key in ("from_seq", "to_seq", "from_t", "to_t", "values"):
            number(gap, key)
        if gap.get("acknowledged") is not None:
            number(gap, "acknowledged")
        if gap.get("reason") is not None:
            text(gap, "reason")
    return _storable(found)


def birth(found: dict[str, Any]) -> dict[str, Any]:
    """A birth document, checked. Raises MalformedError."""
    text(found, "device")
    if found.get("agent") is not None:
        agent(text(found, "agent"))
    found["tags"] = tags = table(found, "tags")
    for name, entry in tags.items():
        if fault(name) is not None or type(entry) is not dict:
            raise MalformedError("tags is not an object of objects by name")
    return _storable(found)


def _storable(found: dict[str, Any]) -> dict[str, Any]:
    """The document, which is kept as JSON: orjson reads deeper nests than it writes. Raises
    MalformedError."""
    try:
        orjson.dumps(found)
    except orjson.JSONEncodeError as error:
        raise MalformedError("nested too deep") from error
    return found
