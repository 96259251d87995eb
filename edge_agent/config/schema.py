"""The JSON Schema of a configuration file, for editors (draft-07: what yaml-language-server knows
best)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from edge_agent.config.docstrings import meanings
from edge_agent.config.models import DeviceCommon, File
from edge_agent.config.plugins import Plugins, device_model, tag_model
from edge_agent.config.store_plugins import StoreKind, store_model
from edge_agent.names import MAX_BYTES

Schema = dict[str, Any]

_VARIABLE: Final[Schema] = {
    "type": "string",
    "pattern": r"\{\s*\w+\s*(\*\s*-?\d+\s*)?([+-]\s*\d+)?\s*(:0?\d*[dxX]?)?\}",
}
"""A text with a variable of `for`, where a number is wanted in the end."""
_LOOP: Final[Schema] = {
    "description": "Repeats what it stands in (a device, a tag): {i: 1..100}, {i: [a, b]}; several "
    "variables give"
    " every combination.",
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "anyOf": [
            {"type": "string", "pattern": r"^\s*-?\d+\s*\.\.\s*-?\d+\s*$"},
            {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}},
        ]
    },
}
_BOUNDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}
_TEMPLATE: Final[Schema] = {"type": "string", "description": "Name of an entry of `templates`."}


def json_schema(plugins: Plugins, stores: Sequence[StoreKind] = ()) -> Schema:
    """The schema with the keys of the given connectors, and of stores beside the built-in ones."""
    devices = {name: device_model(plugins[name]) for name in sorted(plugins)}
    tags = [tag_model(plugins[name]) for name in sorted(plugins)]
    sections = {store.name: store_model(store) for store in stores}
    wanted: list[type[BaseModel]] = [File, *devices.values(), *tags, *sections.values()]
    _, schema = models_json_schema(
        [(model, "validation") for model in wanted],
        by_alias=True,
        ref_template="#/definitions/{model}",
    )
    definitions: dict[str, Schema] = _as_draft_07(schema["$defs"])
    _describe(definitions, wanted)
    for model in devices.values():
        _loosen(definitions[model.__name__], definitions)
    definitions["Device"] = _any_device(
        {name: definitions[model.__name__] for name, model in devices.items()}
    )
    top = definitions.pop("File")
    _connect(top, devices)
    _connect_stores(top, sections)
    top.pop("title", None)
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "edge-agent configuration",
    }
    return head | top | {"definitions": dict(sorted(definitions.items()))}


def _as_draft_07(part: Any) -> Any:
    """pydantic writes 2020-12, and leaves the bounds of a number that may also be text beside the
    alternatives."""
    if isinstance(part, list):
        return [_as_draft_07(one) for one in part]
    if not isinstance(part, dict):
        return part
    result = {
        ("items" if key == "prefixItems" else key): _as_draft_07(value)
        for key, value in part.items()
    }
    if "anyOf" in result:
        bounds = {
            name: result.pop(key)
            for key, name in _BOUNDS.items()
            if not isinstance(result.get(key), dict | None)
        }
        for one in result["anyOf"]:
            if one.get("type") in ("number", "integer"):
                one.update(bounds)
    return result


def _describe(definitions: dict[str, Schema], roots: list[type[BaseModel]]) -> None:
    """Attribute docstrings as descriptions, which an editor shows while one writes."""
    for model in _reachable(roots):
        properties = definitions.get(model.__name__, {}).get("properties", {})
        for key, text in meanings(model).items():
            if key in properties and "description" not in properties[key]:
                properties[key]["description"] = text


def _reachable(roots: list[type[BaseModel]]) -> list[type[BaseModel]]:
    """The models and every model their fields mention."""
    seen: dict[type[BaseModel], None] = {}
    todo = list(roots)
    while todo:
        model = todo.pop(0)
        if model not in seen:
            seen[model] = None
            todo.extend(
                inner
                for field in model.model_fields.values()
                for inner in every_model(field.annotation)
            )
    return list(seen)


def every_model(annotation: Any) -> list[type[BaseModel]]:
    """The models an annotation mentions at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [
        model for argument in getattr(annotation, "__args__", ()) for model in every_model(argument)
    ]


def _loosen(device: Schema, definitions: dict[str, Schema]) -> None:
    """A device as written: parts may come from a profile, a template or the defaults, numbers from
    a variable."""
    device.pop("required", None)
    properties = device["properties"]
    name, tag = _keys_and_values(properties["tags"])
    properties["tags"]["propertyNames"] = name
    properties["tags"]["additionalProperties"] = {"anyOf": [tag, {"type": "null"}]}
    one_tag = definitions[tag["$ref"].rpartition("/")[2]]
    one_tag.pop("required", None)
    _allow_variables(one_tag["properties"])
    one_tag["properties"]["for"] = _LOOP
    _allow_variables(properties)
    properties["for"] = _LOOP
    properties["template"] = _TEMPLATE


def _keys_and_values(tags: Schema) -> tuple[Schema, Schema]:
    """What pydantic makes of a mapping whose keys have a pattern; it goes on without their
    length."""
    ((pattern, tag),) = tags.pop("patternProperties").items()
    return {"type": "string", "minLength": 1, "maxLength": MAX_BYTES, "pattern": pattern}, tag


def _allow_variables(properties: dict[str, Schema]) -> None:
    """Where a number is wanted, a variable of `for` may stand."""
    for key, value in properties.items():
        if value.get("type") in ("integer", "number") or "const" in value:
            text = value.pop("description", None)
            properties[key] = {"anyOf": [value, _VARIABLE]} | (
                {} if text is None else {"description": text}
            )


def _any_device(known: dict[str, Schema]) -> Schema:
    """A device whose connector comes from its profile or template: the keys of every connector."""
    properties: dict[str, Schema] = {}
    for device in known.values():
        for key, value in device["properties"].items():
            if key not in properties:
                properties[key] = value
            elif properties[key] != value:
                properties[key] = {
                    "anyOf": [*properties[key].get("anyOf", [properties[key]]), value]
                }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _connect(top: Schema, devices: dict[str, type[DeviceCommon]]) -> None:
    """Each device, template and default gets the keys of the connector it names."""
    chosen: Schema = {"$ref": "#/definitions/Device"}
    for name, model in reversed(devices.items()):
        named = {"properties": {"connector": {"const": name}}, "required": ["connector"]}
        chosen = {"if": named, "then": {"$ref": f"#/definitions/{model.__name__}"}, "else": chosen}
    properties = top["properties"]
    properties["devices"]["items"] = chosen
    properties["templates"]["additionalProperties"] = chosen
    properties["defaults"] |= {
        "additionalProperties": False,
        "properties": {
            name: {"$ref": f"#/definitions/{model.__name__}"} for name, model in devices.items()
        },
    }
    # The file that is included holds neither; the one that includes it is checked as a whole by
    # `edge-agent check`.
    top.pop("required", None)


def _connect_stores(top: Schema, sections: Mapping[str, type[BaseModel]]) -> None:
    """The section `store:` gets the keys of the store it names."""
    properties = top["properties"]
    chosen: Schema = properties["store"]
    for name, model in sections.items():
        named = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
        chosen = {"if": named, "then": {"$ref": f"#/definitions/{model.__name__}"}, "else": chosen}
    # `store:` with nothing behind it
    properties["store"] = {"anyOf": [chosen, {"type": "null"}]}
