"""What becomes of a structure (`binary.Structure`): JSON text, or the one field that a tag
names."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from asyncua.ua.object_ids import ObjectIdNames

from connectors.opcua.binary import Structure

READ: Final = ("Range", "EUInformation", "Argument")
"""The types whose fields are read, for people."""


def is_structure(value: object) -> bool:
    """Whether a decoded value is a structure or an array of them."""
    return isinstance(value, Structure | tuple)


def plain_value(value: Structure | tuple[Structure, ...], field: str | None) -> Any:
    """One of our values: of the field, of a list the list of it; without a field JSON text. None
    when there is none."""
    if isinstance(value, tuple):
        found = (
            [plain_value(each, field) for each in value]
            if field
            else [each.fields for each in value]
        )
        if None in found:
            return None
        return found if field else _json(found)
    if value.fields is None:
        return None
    return _json(value.fields) if field is None else _field(value.fields, field)


def type_name(value: Structure | tuple[Structure, ...]) -> str:
    """The name of a structure's type where the standard has one, else the node id of its
    encoding."""
    type_id = value[0].type_id if isinstance(value, tuple) else value.type_id
    number = type_id.removeprefix("i=")
    name = ObjectIdNames.get(int(number), "") if number.isdecimal() else ""
    return name.removesuffix("_Encoding_DefaultBinary") or type_id


def _field(fields: Mapping[str, Any], name: str) -> Any:
    """A field by its name, upper and lower case and `_` apart."""
    wanted = _letters(name)
    return next((value for key, value in fields.items() if _letters(key) == wanted), None)


def _letters(name: str) -> str:
    return name.replace("_", "").lower()


def _json(found: Any) -> str:
    return json.dumps(_finite(found), ensure_ascii=False)


def _finite(found: Any) -> Any:
    """JSON has no number that is none: such a bound is null."""
    if isinstance(found, dict):
        return {key: _finite(value) for key, value in found.items()}
    if isinstance(found, list):
        return list(map(_finite, found))
    return None if isinstance(found, float) and not math.isfinite(found) else found
