"""Equal tags are one object: a thousand devices of one template hold its hundred tags once.

Devices share tags in three ways: they come from the same lines (a template, a profile, `for`), single tags of theirs
do, or somebody wrote the same text again for each of them. All three end in one `TagSet`, and what is compiled from it
is compiled once. Memory and the time to start then grow with the tags that differ, not with the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edge_agent.config.models import TagCommon
from edge_agent.config.places import Items, Reference, Table

T = TypeVar("T")


class TagSet(dict[str, TagCommon]):
    """The validated tags of one or many devices, by name. Never changed once made."""

    __slots__ = ("_made",)

    def __init__(self, tags: Mapping[str, TagCommon]) -> None:
        super().__init__(tags)
        self._made: dict[tuple[Any, ...], Any] = {}

    def once(self, make: Callable[..., T], *arguments: Hashable) -> T:
        """`make(self, *arguments)`, made one time for all devices with these tags (see `TagTable.once`)."""
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self, *arguments)
        made: T = self._made[key]
        return made


def kept(value: object, handler: Callable[[Any], dict[str, TagCommon]]) -> TagSet:
    """For pydantic: a TagSet is valid as it is, and every other mapping becomes one."""
    return value if isinstance(value, TagSet) else TagSet(handler(value))


class TagSets:
    """The tags met while one configuration is loaded. Only valid ones are shared: faults are told device by device."""

    def __init__(self) -> None:
        self._sets: dict[tuple[type[TagCommon], int], tuple[Table, TagSet | None]] = {}
        self._tags: dict[tuple[type[TagCommon], int], tuple[Table, TagCommon]] = {}
        self._texts: dict[tuple[type[TagCommon], str], TagSet] = {}

    def find(self, model: type[TagCommon], written: Table) -> TagSet | None:
        """The tags as validated; None when they are faulty or refer to secrets, which may differ from read to read."""
        known = self._sets.get((model, id(written)))
        if known is None:
            # Kept with its table: so long nothing else has the table's id.
            known = self._sets[model, id(written)] = (written, self._make(model, written))
        return known[1]

    def _make(self, model: type[TagCommon], written: Table) -> TagSet | None:
        if _refers(written):
            return None
        text = repr(written)  # faithful: numbers that may be written in several ways keep their text
        made = self._texts.get((model, text))
        if made is None:
            made = self._validated(model, written)
            if made is not None:
                self._texts[model, text] = made
        return made

    def _validated(self, model: type[TagCommon], written: Table) -> TagSet | None:
        known = {name: self._known(model, tag) for name, tag in written.items()}
        try:
            made = _adapter(model).validate_python(known)
        except ValidationError:
            return None
        for name, tag in written.items():
            if isinstance(tag, Table):
                self._tags[model, id(tag)] = (tag, made[name])
        return TagSet(made)

    def _known(self, model: type[TagCommon], tag: object) -> object:
        """A tag that stood in another device's set already, else as written."""
        known = self._tags.get((model, id(tag)))
        return tag if known is None else known[1]


@lru_cache
def _adapter(model: type[TagCommon]) -> TypeAdapter[dict[str, TagCommon]]:
    return TypeAdapter(dict[str, model])  # type: ignore[valid-type]  # a type made at run time


def _refers(value: object) -> bool:
    if isinstance(value, Table):
        return any(map(_refers, value.values()))
    return any(map(_refers, value)) if isinstance(value, Items) else isinstance(value, Reference)
