"""What the models say about a place in the data: which keys are known there, and which values are
paths."""

from __future__ import annotations

import contextlib
import itertools
import types
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from edge_agent.config.places import FilePosition, YamlMapping, YamlSequence

Annotation = Any
"""A type as written in a model: a class, a union, a generic alias."""


def alternatives(annotation: Annotation) -> Iterator[Annotation]:
    """The types a value may have, through unions and Annotated."""
    origin: Any = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for argument in get_args(annotation):
            yield from alternatives(argument)
    else:
        yield annotation


def models(annotation: Annotation) -> list[type[BaseModel]]:
    """The models among the alternatives."""
    return [
        one
        for one in alternatives(annotation)
        if isinstance(one, type) and issubclass(one, BaseModel)
    ]


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The YAML keys of a model."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _origin(annotation: Annotation) -> Any:
    return get_origin(annotation)


def below(annotation: Annotation, part: object) -> Iterator[Annotation]:
    """The types of what stands under a key or at an index."""
    for one in alternatives(annotation):
        arguments = get_args(one)
        origin = _origin(one)
        if isinstance(one, type) and issubclass(one, BaseModel):
            field = keys(one).get(str(part))
            if field is not None:
                yield field.annotation
        elif origin is dict:
            yield arguments[1]
        elif origin is list or (origin is tuple and arguments[-1] is Ellipsis):
            yield arguments[0]
        elif origin is tuple and isinstance(part, int) and part < len(arguments):
            yield arguments[part]


def types_at(model: type[BaseModel], path: Sequence[object]) -> list[Annotation]:
    """The types a model gives the value at `path`."""
    current: list[Annotation] = [model]
    for part in path:
        current = [inner for annotation in current for inner in below(annotation, part)]
    return current


@lru_cache(maxsize=4096)  # devices of one template have their faults at the same paths
def known_keys(model: type[BaseModel], path: tuple[Any, ...]) -> tuple[str, ...]:
    """The keys that may stand in the mapping at `path`, in order of name."""
    found = {
        key
        for annotation in types_at(model, path)
        for one in models(annotation)
        for key in keys(one)
    }
    return tuple(sorted(found))


def takes_duration(model: type[BaseModel], path: Sequence[object]) -> bool:
    """Whether the value at `path` is a number that may also be written as text with a unit:
    `100ms`, `1s`."""
    if not path:
        return False
    fields = (
        keys(one).get(str(path[-1]))
        for owner in types_at(model, path[:-1])
        for one in models(owner)
    )
    return any(is_duration(mark) for field in fields if field for mark in _marks(field))


def is_duration(mark: object) -> bool:
    """Whether a mark on a type says: a number, or a text with a unit."""
    return isinstance(mark, BeforeValidator) and set(get_args(mark.json_schema_input_type)) == {
        float,
        str,
    }


def _marks(field: FieldInfo) -> list[Any]:
    inner = [
        get_args(one)[1:] for one in get_args(field.annotation) if get_origin(one) is Annotated
    ]
    return [*field.metadata, *itertools.chain.from_iterable(inner)]


def anchored(table: YamlMapping, model: type[BaseModel], *, defaults: bool) -> YamlMapping:
    """Relative paths made absolute: those written count from the file they are written in.

    With `defaults`, paths nobody wrote are filled in, counted from the file the mapping is in.
    """
    result = table.copy()
    for key, field in keys(model).items():
        value = table.get(key)
        if isinstance(value, str) and Path in alternatives(field.annotation):
            result[key] = absolute(value, table.values_at[key])
        elif isinstance(value, YamlSequence) and Path in _elements(field.annotation):
            result[key] = _absolute_items(value)
        elif isinstance(value, YamlMapping):
            for inner in models(field.annotation):
                result[key] = anchored(result[key], inner, defaults=defaults)
        elif defaults and key not in table:
            _anchor_default(result, key, field.default)
    return result


def absolute(path: str, place: FilePosition) -> str:
    """A path as written at a place; `~` is the home folder."""
    written = Path(path)
    if path.startswith("~"):
        with contextlib.suppress(RuntimeError):  # no such user: then it is a name like any other
            written = written.expanduser()
    return str(place.file.absolute().parent / written)


def _absolute_items(items: YamlSequence) -> YamlSequence:
    result = YamlSequence(items.place)
    for item, at in zip(items, items.at, strict=True):
        result.add(absolute(item, at) if isinstance(item, str) else item, at)
    return result


def _elements(annotation: Annotation) -> Iterable[Annotation]:
    return [inner for element in below(annotation, 0) for inner in alternatives(element)]


def _anchor_default(result: YamlMapping, key: str, default: object) -> None:
    if isinstance(default, Path):
        result.put(key, absolute(str(default), result.place))
    elif isinstance(default, BaseModel):
        inner = anchored(YamlMapping(result.place), type(default), defaults=True)
        if inner:
            result.put(key, inner)
