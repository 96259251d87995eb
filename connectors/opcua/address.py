"""Node ids and browse paths as people write them, parsed into plain data. Nothing here knows a
server.

Node ids follow OPC 10000-6 §5.3.1.10 (`ns=2;s=Name`, `nsu=URI;i=7`); browse paths follow the idea
of the relative path text of OPC 10000-4 Annex A.2 (`/` between names, `&` before a reserved
character, `2:` before a name), with `{URI}` in the place of an index so that a path survives a
reordered namespace table.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

Namespace = int | str
"""An index of the server's namespace table, or a URI to be looked up in it at each connect."""

Identifier = int | str | bytes | uuid.UUID

_NODE = re.compile(
    r"(?:ns=(?P<index>\d{1,5});|nsu=(?P<uri>[^;]+);)?(?P<form>[isgb])=(?P<id>.+)", re.DOTALL
)
_STEP = re.compile(
    r"(?:(?P<index>\d{1,5}):|\{(?P<uri>[^}]+)\})?+(?P<name>(?:[^&/]|&.)+)", re.DOTALL
)
_PART = re.compile(r"(?:\{[^}]*\}|&.|[^/&])+|/", re.DOTALL)
_SLASH = re.compile(r"(?<!&)/(?![^{]*\})")
_MAX_INDEX = 0xFFFF


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node id whose namespace may still be a URI."""

    namespace: Namespace
    identifier: Identifier
    """int (i=), str (s=), UUID (g=) or bytes (b=)."""


@dataclass(frozen=True, slots=True)
class PathSegment:
    """One browse name on the way from the root folder."""

    namespace: Namespace
    name: str


def parse_node(text: str) -> NodeAddress:
    """`i=85`, `ns=2;s=Speed`, `nsu=http://x;g=..`, `b=` in base64. Raises ValueError."""
    found = _NODE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not a node id: {text!r}")
    return NodeAddress(
        _namespace(found["index"], found["uri"]), _identifier(found["form"], found["id"])
    )


def _namespace(index: str | None, uri: str | None) -> Namespace:
    if uri is not None:
        return unquote(uri)
    number = int(index or 0)
    if number > _MAX_INDEX:
        raise ValueError(f"namespace index above 65535: {number}")
    return number


def _identifier(form: str, text: str) -> Identifier:
    if form == "s":
        return text
    if form == "g":
        return uuid.UUID(text)
    if form == "b":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"not base64: {text!r}") from error
    if not text.isascii() or not text.isdigit() or int(text) > 0xFFFFFFFF:
        raise ValueError(f"not an unsigned 32-bit number: {text!r}")
    return int(text)


def split_path(text: str) -> list[str]:
    """The names of a path, as written; a leading slash and `Root/` do not count. Raises
    ValueError."""
    parts = _PART.findall(text.strip().removeprefix("/").removeprefix("Root/"))
    names = parts[::2]
    slashes = parts[1::2]
    if "/" in names or set(slashes) - {"/"} or len(parts) % 2 == 0:
        raise ValueError(f"not a browse path: {text!r}")
    return names


def parse_path(path: str | Sequence[str]) -> tuple[PathSegment, ...]:
    """The steps from the root folder. A path that names none of its folders starts in Objects.
    Raises ValueError."""
    # In a list each item is one name, so a slash in it needs no mark.
    names = split_path(path) if isinstance(path, str) else [_SLASH.sub("&/", item) for item in path]
    steps = tuple(map(_step, names))
    if not steps:
        raise ValueError("an empty browse path")
    folders = {PathSegment(0, name) for name in ("Objects", "Types", "Views")}
    return steps if steps[0] in folders else (PathSegment(0, "Objects"), *steps)


def _step(text: str) -> PathSegment:
    found = _STEP.fullmatch(text)
    if found is None:
        raise ValueError(f"not a browse name: {text!r}")
    return PathSegment(
        _namespace(found["index"], found["uri"]),
        re.sub(r"&(.)", r"\1", found["name"], flags=re.DOTALL),
    )
