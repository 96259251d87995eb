"""Equal tags are one object: a thousand devices of one template hold its hundred tags once.

Devices share tags in three ways: they come from the same lines (a template, a profile, `for`),
single tags of theirs do, or somebody wrote the same text again for each of them. All three end in
one `TagSet`, and what is compiled from it is compiled once. Memory and the time to start then grow
with the tags that differ, not with the devices.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edge_agent.config.models import TagCommon
from edge_agent.config.places import SecretReference, YamlMapping, YamlSequence
from edge_agent.config.values import Name

T = TypeVar("T")


class TagSet(dict[str, TagCommon]):
    """The validated tags of one or many devices, by name. Never changed once made."""

    __slots__ = ("_made",)

    def __init__(self, tags: Mapping[str, TagCommon]) -> None:
        super().__init__(tags)
        self._made: dict[tuple[Any, ...], Any] = {}

    def once(self, make: Callable[..., T], *arguments: Hashable) -> T:
        """`make(self, *arguments)`, made one time for all devices with these tags (see
        `TagTable.once`)."""
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self, *arguments)
        made: T = self._made[key]
        return made


def validate_tagset(value: object, handler: Callable[[Any], dict[str, TagCommon]]) -> TagSet:
    """For pydantic: a TagSet is valid as it is, and every other mapping becomes one."""
    return value if isinstance(value, TagSet) else TagSet(handler(value))


class TagSets:
    """The tags met while one configuration is loaded. Only valid ones are shared: faults are told
    device by device.

    What was made of a mapping is noted at the mapping, so that it can go when its last device is
    built.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[type[TagCommon], bytes], TagSet] = {}

    def find(self, model: type[TagCommon], written: YamlMapping) -> TagSet | None:
        """The tags as validated; None when they are faulty or refer to secrets, which may differ
        from read to read."""
        if written.valid is None or written.valid[0] is not model:
            written.valid = model, None if _refers(written) else self._make(model, written)
        made: TagSet | None = written.valid[1]
        return made

    def _make(self, model: type[TagCommon], written: YamlMapping) -> TagSet | None:
        # The text is faithful: numbers that may be written in several ways keep theirs.
        key = (
            model,
            blake2b(repr(written).encode("utf-8", "surrogatepass"), digest_size=16).digest(),
        )
        made = self._texts.get(key)
        if made is None:
            made = _validated(model, written)
            if made is not None:
                self._texts[key] = made
        return made


def _validated(model: type[TagCommon], written: YamlMapping) -> TagSet | None:
    """The set, of tags that stood in another one already and of new ones; None when one is
    faulty."""
    try:
        made = _adapter(model).validate_python(
            {name: _known(model, tag) for name, tag in written.items()}
        )
    except ValidationError:
        return None
    for name, tag in written.items():
        if isinstance(tag, YamlMapping):
            tag.valid = model, made[name]
    return TagSet(made)


def _known(model: type[TagCommon], tag: object) -> object:
    return (
        tag.valid[1]
        if isinstance(tag, YamlMapping) and tag.valid is not None and tag.valid[0] is model
        else tag
    )


@lru_cache
def _adapter(model: type[TagCommon]) -> TypeAdapter[dict[str, TagCommon]]:
    return TypeAdapter(dict[Name, model])  # type: ignore[valid-type]  # a type made at run time


def _refers(value: object) -> bool:
    if isinstance(value, YamlMapping):
        return any(map(_refers, value.values()))
    return (
        any(map(_refers, value))
        if isinstance(value, YamlSequence)
        else isinstance(value, SecretReference)
    )
