"""Where the files of a configuration name other files: which scalar names what, and the same text
with other names.

The text is kept as people wrote it, with its comments; only names that would lead elsewhere are
written anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from edge_agent.config.files import matches
from edge_agent.config.places import FilePosition
from edge_agent.config.profiles import FOLDER as PROFILES
from edge_agent.config.shape import absolute

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PATTERN: Final = re.compile(r"[*?\[]")
_PREFIX: Final = re.compile(r"(?:[&!]\S+\s+)*")
_YAML: Final = (".yaml", ".yml")
_TEXT: Final = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class PathReference:
    """A scalar that names files."""

    written: str
    targets: tuple[Path, ...]
    """What it names; several only where it is a pattern of `include`."""
    kind: str
    """`include`, `profile`, `secret` or `path`."""
    start: tuple[int, int]
    """Line and column from 0."""
    end: tuple[int, int]
    item: str = ""
    """`flow` or `block` for an item of such a list."""

    @property
    def is_pattern(self) -> bool:
        return self.kind == "include" and bool(_PATTERN.search(self.written))


@dataclass(frozen=True, slots=True)
class PlantText:
    """One file of the configuration."""

    path: Path
    content: bytes
    references: tuple[PathReference, ...]


def plant_texts(main: Path, known: Collection[Path]) -> list[PlantText]:
    """The main file, and every file it includes or takes as a profile, each once. `known`: paths
    that stand in the loaded site. The files are those of a site that loads. Raises OSError."""
    found: dict[Path, PlantText] = {}
    waiting = [Path(os.path.abspath(main))]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        content = path.read_bytes()
        references = tuple(_references(path, content, known))
        found[path] = PlantText(path, content, references)
        for reference in references:
            if reference.kind in ("include", "profile"):
                waiting += reference.targets
    return list(found.values())


def environment_names(texts: Collection[PlantText]) -> list[str]:
    """The variables that `!env` names."""
    names: set[str] = set()
    for text in texts:
        names |= {node.value for _, node in _scalars(_root(text.content)) if node.tag == "!env"}
    return sorted(names)


def with_names(text: PlantText, fresh: Callable[[PathReference], list[str] | None]) -> bytes:
    """The text with other names where `fresh` gives some; several instead of a pattern."""
    lines = text.content.decode("utf-8-sig").splitlines(keepends=True)
    for reference in sorted(text.references, key=lambda each: each.start, reverse=True):
        names = fresh(reference)
        if names is None:
            continue
        (line, column), (last, end) = reference.start, reference.end
        prefix = _PREFIX.match(lines[line], column)
        head = lines[line][: prefix.end() if prefix is not None else column]
        lines[line : last + 1] = [head + _written(names, reference, head) + lines[last][end:]]
    return "".join(lines).encode()


def _written(names: list[str], reference: PathReference, head: str) -> str:
    quoted = [json.dumps(name, ensure_ascii=False) for name in names]
    if reference.item == "block":
        dash = head.rfind("-")
        return ("\n" + " " * dash + "- ").join(quoted)
    several = len(names) > 1 and not reference.item
    return f"[{', '.join(quoted)}]" if several else ", ".join(quoted)


def _root(content: bytes) -> yaml.Node | None:
    return yaml.compose(content.decode("utf-8-sig"), Loader=_LOADER)


def _references(path: Path, content: bytes, known: Collection[Path]) -> Iterator[PathReference]:
    root = _root(content)
    place = FilePosition(path)
    top = root.value if isinstance(root, yaml.MappingNode) else []
    names = {target.name for target in known}
    included: dict[int, str] = {}
    for value in [value for key, value in top if key.value == "include"]:
        included[id(value)] = ""
        if isinstance(value, yaml.SequenceNode):
            style = "flow" if value.flow_style else "block"
            included |= {id(each): style for each in value.value}
    for key, node in _scalars(root):
        targets: tuple[Path, ...] = ()
        kind = "path"
        if id(node) in included:
            kind = "include"
            targets = _included(path, node.value)
        elif node.tag == "!file":
            kind = "secret"
            targets = (_normal(absolute(node.value, place)),)
        elif key == "profile" and (profile := _profile(path, node.value)) is not None:
            kind = "profile"
            targets = (profile,)
        elif node.tag == _TEXT and os.path.basename(node.value.rstrip("/")) in names:
            target = _normal(absolute(node.value, place))
            targets = (target,) if target in known else ()
        if targets:
            begin = node.start_mark
            end = node.end_mark
            yield PathReference(
                node.value,
                targets,
                kind,
                (begin.line, begin.column),
                (end.line, end.column),
                included.get(id(node), ""),
            )


def _scalars(root: yaml.Node | None) -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Every scalar value, each once, with the key that it stands under."""
    waiting: list[tuple[str, yaml.Node]] = [] if root is None else [("", root)]
    done: set[int] = set()
    while waiting:
        key, node = waiting.pop()
        if id(node) in done:
            continue
        done.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield key, node
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(key, each) for each in node.value]
        elif isinstance(node, yaml.MappingNode):
            waiting += [(str(name.value), value) for name, value in node.value]


def _included(path: Path, written: str) -> tuple[Path, ...]:
    if _PATTERN.search(written):
        return tuple(_normal(match) for match in matches(path.parent, written))
    return (_normal(path.parent / written),)


def _profile(path: Path, written: str) -> Path | None:
    """The file of a profile that is not one of ours."""
    if written.endswith(_YAML):
        return _normal(absolute(written, FilePosition(path)))
    beside = path.parent / PROFILES / f"{written}.yaml"
    return _normal(beside) if beside.is_file() else None


def _normal(path: Path | str) -> Path:
    return Path(os.path.abspath(path))
