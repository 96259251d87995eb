"""Which code a count of runs speaks for: a hash over our modules that a target reaches."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]
_OURS: Final = ("connectors", "edge_agent", "fuzz.targets")
"""The frame around the targets (`fuzz.target`) is left out: it decides nothing about what a decoder
does."""


def version(module: str) -> str:
    """Twelve hex digits over the sources that this module reaches."""
    total = hashlib.sha256()
    for path in reached(module):
        total.update(
            f"{path.relative_to(_ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest()
        )
    return total.hexdigest()[:12]


def reached(module: str) -> list[Path]:
    """The files of this module and of all of ours that it imports, at whatever depth."""
    found: set[Path] = set()
    waiting = list(_files(module))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += (file for name in _imports(path) for file in _files(name))
    return sorted(found)


def _files(name: str) -> Iterator[Path]:
    """The file of a module of ours and those of its packages; none for a name within a module."""
    if not any(f"{name}.".startswith(f"{ours}.") for ours in _OURS):
        return
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        place = _ROOT.joinpath(*parts[:n])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path


@cache
def _imports(path: Path) -> tuple[str, ...]:
    return tuple(_named(ast.walk(ast.parse(path.read_bytes()))))


def _named(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Imports within functions too: those happen as well."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
