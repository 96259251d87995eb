"""Where the tags of a SPEC live on a server: node ids, browse paths and namespaces as plain
data."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from simulators.spec import DeviceSpec, SpecError, TagSpec

_NODE: Final = re.compile(
    r"(?:ns=(?P<index>\d+);|nsu=(?P<uri>[^;]+);)?(?P<form>[isgb])=(?P<id>.+)", re.DOTALL
)
_STEP: Final = re.compile(
    r"(?:(?P<index>\d+):|\{(?P<uri>[^}]+)\}|nsu=(?P<nsu>[^;]+);)?(?P<name>.+)", re.DOTALL
)
_STANDARD: Final = "http://opcfoundation.org/UA/"
SERVER_URI: Final = "urn:simulators:server"
"""Application URI of all simulated servers, always namespace 1."""

Identifier = int | str | bytes | uuid.UUID


@dataclass(frozen=True, slots=True)
class Name:
    """A name in a namespace given by its URI."""

    uri: str
    name: str


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a tag lives: folders below Objects, its browse name, and its identifier (None =
    any)."""

    folders: tuple[Name, ...]
    name: Name
    uri: str
    identifier: Identifier | None


class ServedNamespaces:
    """The namespace table: 0 the standard, 1 the server, then indexes that tags name, then URIs
    that tags name."""

    def __init__(self, tags: Iterable[TagSpec]) -> None:
        texts = [text for tag in tags for text in _texts(tag)]
        highest = max((int(index) for text in texts for index in _indexes(text)), default=1)
        self.uris = [
            _STANDARD,
            SERVER_URI,
            *(f"urn:simulators:ns{index}" for index in range(2, highest + 1)),
        ]
        for text in texts:
            for uri in _uris(text):
                if uri not in self.uris:
                    self.uris.append(uri)

    def uri(self, index: str | None, uri: str | None) -> str:
        """The URI of a namespace written as an index (None = 0) or as a URI."""
        return unquote(uri) if uri is not None else self.uris[int(index or 0)]

    def order(self, changed: bool) -> list[str]:
        """URIs from index 2 on; `changed`: as a server shows them after a restart with another set
        of modules."""
        own = self.uris[2:]
        return ["urn:simulators:inserted", *reversed(own)] if changed else own


def _texts(tag: TagSpec) -> list[str]:
    path = tag.where.get("path") or ()
    node = tag.where.get("node")
    return [
        *([str(node)] if node else []),
        *map(str, path if not isinstance(path, str) else [path]),
    ]


def _indexes(text: str) -> list[str]:
    found = _NODE.fullmatch(text) or _STEP.fullmatch(text)
    return [found["index"]] if found is not None and found["index"] else []


def _uris(text: str) -> list[str]:
    found = _NODE.fullmatch(text)
    if found is not None:
        return [unquote(found["uri"])] if found["uri"] else []
    found = _STEP.fullmatch(text)
    uri = None if found is None else found["uri"] or found["nsu"]
    return [unquote(uri)] if uri else []


def place(device: DeviceSpec, tag: TagSpec, number: int, namespaces: ServedNamespaces) -> NodePlace:
    """The place of a device's tag number `number`. Raises SpecError."""
    path = tag.where.get("path")
    node = tag.where.get("node")
    if not path and not node:
        raise SpecError(
            f"{device.id}.{tag.name}：既无 node 也无 path / {device.id}.{tag.name}: neither node "
            "nor path"
        )
    uri, identifier = _node(device, str(node), namespaces) if node else (SERVER_URI, None)
    if path:
        steps = _steps(path, namespaces)
        return NodePlace(
            tuple(steps[:-1]), steps[-1], steps[-1].uri if identifier is None else uri, identifier
        )
    # Folders of at most 50 nodes: adding to one flat folder costs asyncua time that grows with its
    # square.
    folders = (Name(SERVER_URI, device.id), Name(SERVER_URI, f"group-{number // 50:03d}"))
    return NodePlace(folders, Name(uri, tag.name), uri, identifier)


def _node(device: DeviceSpec, text: str, namespaces: ServedNamespaces) -> tuple[str, Identifier]:
    found = _NODE.fullmatch(text.strip())
    if found is None:
        raise SpecError(f"{device.id}：节点 {text} 无效 / {device.id}: not a node id: {text}")
    uri = namespaces.uri(found["index"], found["uri"])
    form = found["form"]
    body = found["id"]
    try:
        if form == "i":
            return uri, int(body)
        if form == "g":
            return uri, uuid.UUID(body)
        return uri, base64.b64decode(body, validate=True) if form == "b" else body
    except ValueError as error:
        raise SpecError(
            f"{device.id}：节点 {text} 无效 / {device.id}: not a node id: {text}"
        ) from error


def _steps(path: str | Sequence[Any], namespaces: ServedNamespaces) -> list[Name]:
    names = (
        [part for part in path.split("/") if part]
        if isinstance(path, str)
        else [str(part) for part in path]
    )
    steps = []
    for text in names:
        found = _STEP.fullmatch(text)
        assert found is not None  # noqa: S101 - every non-empty text fits
        uri = namespaces.uri(found["index"], found["uri"] or found["nsu"])
        steps.append(Name(uri, re.sub(r"&(.)", r"\1", found["name"])))
    while steps and steps[0] in (Name(_STANDARD, "Root"), Name(_STANDARD, "Objects")):
        del steps[0]
    if not steps:
        raise SpecError("浏览路径为空 / an empty browse path")
    return steps
