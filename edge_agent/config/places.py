"""Plain data that remembers where it was written: mappings and lists with a place for every key and
value."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple


class FilePosition(NamedTuple):
    """A position in a file; line and column count from 1."""

    file: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class YamlMapping(dict[Any, Any]):
    """A YAML mapping. `place` is where it starts; keys and values have places of their own."""

    __slots__ = ("keys_at", "pattern", "place", "valid", "values_at")

    def __init__(self, place: FilePosition) -> None:
        super().__init__()
        self.place = place
        self.keys_at: dict[Hashable, FilePosition] = {}
        self.values_at: dict[Hashable, FilePosition] = {}
        self.valid: tuple[type, Any] | None = None
        """What a model made of it (`tagset`). A copy, which may be changed, has nothing yet."""
        self.pattern: str | None = None
        """The name this was written under when a `for` made several of it."""

    def put(
        self,
        key: Hashable,
        value: object,
        key_at: FilePosition | None = None,
        value_at: FilePosition | None = None,
    ) -> None:
        """Set an entry; without places it counts as written where the mapping starts."""
        self[key] = value
        self.keys_at[key] = key_at or self.place
        self.values_at[key] = value_at or self.keys_at[key]

    def take(self, other: YamlMapping, key: Hashable, value: object) -> None:
        """Set an entry to `value`, written where `other` has the key."""
        self.put(key, value, other.keys_at[key], other.values_at[key])

    def drop(self, key: Hashable) -> None:
        """Remove an entry that may be absent."""
        self.pop(key, None)
        self.keys_at.pop(key, None)
        self.values_at.pop(key, None)

    def copy(self) -> YamlMapping:
        """The same entries at the same places; the values themselves are shared."""
        return merged(self.place, self)


class YamlSequence(list[Any]):
    """A YAML sequence; `at[i]` is the place of item i."""

    __slots__ = ("at", "place")

    def __init__(self, place: FilePosition) -> None:
        super().__init__()
        self.place = place
        self.at: list[FilePosition] = []

    def add(self, value: object, at: FilePosition) -> None:
        """Append an item and its place."""
        self.append(value)
        self.at.append(at)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A secret that is named and not written: `!env NAME` or `!file path`."""

    tag: Literal["!env", "!file"]
    argument: str


def merged(place: FilePosition, *tables: YamlMapping) -> YamlMapping:
    """One mapping of the entries of all; a later one wins, each keeps its place."""
    result = YamlMapping(place)
    for table in tables:
        result.pattern = result.pattern or table.pattern
        result.update(table)
        result.keys_at.update(table.keys_at)
        result.values_at.update(table.values_at)
    return result


def place_of(container: YamlMapping | YamlSequence, part: Hashable) -> FilePosition:
    """Where the value under a key or at an index is written."""
    if isinstance(container, YamlSequence):
        return container.at[part] if isinstance(part, int) else container.place
    return container.values_at.get(part, container.place)


def locate(written: YamlMapping, *path: Any) -> FilePosition:
    """The place of the value at a path, or of the nearest mapping around it that was written."""
    current: Any = written
    at = written.place
    for part in path:
        if not isinstance(current, YamlMapping | YamlSequence) or (
            isinstance(current, YamlMapping) and part not in current
        ):
            break
        at = place_of(current, part)
        current = current[part]
    return at


def pattern_of(written: YamlMapping, name: str) -> str:
    """The name a tag was written under: one entry with a `for` makes many."""
    tags = written.get("tags")
    tag = tags.get(name) if isinstance(tags, YamlMapping) else None
    return (tag.pattern if isinstance(tag, YamlMapping) else None) or name
