"""As much of JSON Schema draft-07 as the published schema uses; an unknown keyword fails the test
that meets it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_NOTES = {
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "definitions",
    "format",
    "writeOnly",
    "then",
    "else",
}


def faults(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str = "$"
) -> list[str]:
    """Where a value breaks the schema."""
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword not in _NOTES:
            found += _CHECKS[keyword](value, wanted, schema, root, path)
    return found


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (not isinstance(value, bool) or name == "boolean")


def _type(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else wanted
    return [] if any(_is(value, name) for name in names) else [f"{path}: not {names}"]


def _ref(value: Any, wanted: str, schema: Any, root: Any, path: str) -> list[str]:
    return faults(value, root["definitions"][wanted.removeprefix("#/definitions/")], root, path)


def _any_of(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    return (
        []
        if any(not faults(value, one, root, path) for one in wanted)
        else [f"{path}: fits no alternative"]
    )


def _if(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    return faults(
        value, schema["else" if faults(value, wanted, root, path) else "then"], root, path
    )


def _properties(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    there = [key for key in wanted if isinstance(value, dict) and key in value]
    return [
        fault for key in there for fault in faults(value[key], wanted[key], root, f"{path}.{key}")
    ]


def _additional(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    extra = (
        [key for key in value if key not in schema.get("properties", {})]
        if isinstance(value, dict)
        else []
    )
    if isinstance(wanted, bool):
        return [] if wanted else [f"{path}.{key}: unknown" for key in extra]
    return [fault for key in extra for fault in faults(value[key], wanted, root, f"{path}.{key}")]


def _property_names(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    names = value if isinstance(value, dict) else ()
    return [fault for name in names for fault in faults(name, wanted, root, f"{path}.{name}")]


def _items(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
    items = value if isinstance(value, list) else []
    if isinstance(wanted, list):
        return [
            fault
            for item, one in zip(items, wanted, strict=False)
            for fault in faults(item, one, root, path)
        ]
    return [
        fault
        for index, item in enumerate(items)
        for fault in faults(item, wanted, root, f"{path}[{index}]")
    ]


def _holds(good: Any) -> Any:
    def judge(value: Any, wanted: Any, schema: Any, root: Any, path: str) -> list[str]:
        return [] if good(value, wanted) else [f"{path}: {value!r} against {wanted!r}"]

    return judge


_CHECKS: Mapping[str, Any] = {
    "type": _type,
    "$ref": _ref,
    "anyOf": _any_of,
    "if": _if,
    "properties": _properties,
    "items": _items,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "enum": _holds(lambda value, wanted: value in wanted),
    "const": _holds(lambda value, wanted: value == wanted),
    "required": _holds(
        lambda value, wanted: not isinstance(value, dict) or set(wanted) <= set(value)
    ),
    "pattern": _holds(lambda value, wanted: not isinstance(value, str) or re.search(wanted, value)),
    "minLength": _holds(lambda value, wanted: not isinstance(value, str) or len(value) >= wanted),
    "maxLength": _holds(lambda value, wanted: not isinstance(value, str) or len(value) <= wanted),
    "minimum": _holds(lambda value, wanted: not _is(value, "number") or value >= wanted),
    "maximum": _holds(lambda value, wanted: not _is(value, "number") or value <= wanted),
    "exclusiveMinimum": _holds(lambda value, wanted: not _is(value, "number") or value > wanted),
    "exclusiveMaximum": _holds(lambda value, wanted: not _is(value, "number") or value < wanted),
    "minItems": _holds(lambda value, wanted: not isinstance(value, list) or len(value) >= wanted),
    "maxItems": _holds(lambda value, wanted: not isinstance(value, list) or len(value) <= wanted),
    "minProperties": _holds(
        lambda value, wanted: not isinstance(value, dict) or len(value) >= wanted
    ),
}
