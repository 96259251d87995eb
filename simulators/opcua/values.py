"""Engineering values as OPC UA variants of a tag's type."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from math import nan
from typing import Any, Final

from asyncua import ua

from simulators.behaviours.base import SignalValue, number
from simulators.spec import SpecError, TagSpec

_INTEGERS: Final = {
    "sbyte": (ua.VariantType.SByte, -(1 << 7), (1 << 7) - 1),
    "byte": (ua.VariantType.Byte, 0, (1 << 8) - 1),
    "int16": (ua.VariantType.Int16, -(1 << 15), (1 << 15) - 1),
    "uint16": (ua.VariantType.UInt16, 0, (1 << 16) - 1),
    "int32": (ua.VariantType.Int32, -(1 << 31), (1 << 31) - 1),
    "uint32": (ua.VariantType.UInt32, 0, (1 << 32) - 1),
    "int64": (ua.VariantType.Int64, -(1 << 63), (1 << 63) - 1),
    "uint64": (ua.VariantType.UInt64, 0, (1 << 64) - 1),
}
_SYNONYMS: Final = {
    "int": "int64",
    "integer": "int32",
    "enumeration": "int32",
    "uinteger": "uint32",
    "bool": "boolean",
    "number": "double",
    "text": "string",
    "utctime": "datetime",
}
_KIND_TYPES: Final = {
    "bool": "boolean",
    "int": "int64",
    "float": "double",
    "text": "string",
    "array": "double[]",
}

Convert = Callable[[SignalValue], Any]


class ValueCodec:
    """One tag: its variant type, and how its engineering value becomes the variant's value."""

    def __init__(self, tag: TagSpec) -> None:
        name = str(tag.where.get("type") or "").strip().lower() or _default_type(tag)
        self.array = name.endswith("[]") or tag.kind == "array"
        name = name.removesuffix("[]")
        self.name = _SYNONYMS.get(name, _KIND_TYPES.get(name, name)).removesuffix("[]")
        self._tag = tag
        self.type, self._convert = self._conversion()

    def modulus(self) -> tuple[float, float] | None:
        """Where a counter of this type wraps, and its resolution; None where it does not."""
        limits = _INTEGERS.get(self.name)
        return None if limits is None else (self._tag.scale * (limits[2] + 1), self._tag.scale)

    def variant(self, value: SignalValue) -> ua.Variant:
        """The variant of an engineering value."""
        if self.array:
            items = value if isinstance(value, list) else [value]
            return ua.Variant([self._convert(item) for item in items], self.type)
        item = (value[0] if value else 0.0) if isinstance(value, list) else value
        return ua.Variant(self._convert(item), self.type)

    def nan(self) -> ua.Variant | None:
        """Not-a-number where the type knows it."""
        return (
            ua.Variant(nan, self.type)
            if self.name in ("float", "double") and not self.array
            else None
        )

    def _raw(self, value: SignalValue) -> float:
        return (number(value) - self._tag.offset) / self._tag.scale

    def _conversion(self) -> tuple[ua.VariantType, Convert]:
        if self.name in _INTEGERS:
            kind, low, high = _INTEGERS[self.name]
            return kind, lambda value: max(low, min(high, round(self._raw(value))))
        known: dict[str, tuple[ua.VariantType, Convert]] = {
            "boolean": (ua.VariantType.Boolean, bool),
            "float": (ua.VariantType.Float, self._raw),
            "double": (ua.VariantType.Double, self._raw),
            "string": (ua.VariantType.String, str),
            "localizedtext": (
                ua.VariantType.LocalizedText,
                lambda value: ua.LocalizedText(str(value)),
            ),
            "bytestring": (ua.VariantType.ByteString, lambda value: str(value).encode()),
            "datetime": (ua.VariantType.DateTime, lambda _: datetime.now(UTC)),
            "guid": (ua.VariantType.Guid, lambda value: uuid.uuid5(uuid.NAMESPACE_URL, str(value))),
            "nodeid": (
                ua.VariantType.NodeId,
                lambda value: ua.NodeId(ua.String(str(value)), ua.Int16(1)),
            ),
            "qualifiedname": (
                ua.VariantType.QualifiedName,
                lambda value: ua.QualifiedName(str(value), ua.Int16(1)),
            ),
        }
        if self.name not in known:
            tag = self._tag.name
            raise SpecError(
                f"标签 {tag}：无法模拟 {self.name} / tag {tag}: cannot simulate {self.name}"
            )
        return known[self.name]


def _default_type(tag: TagSpec) -> str:
    """Without a type: enumerations are Int32, everything else follows the kind."""
    return (
        "int32"
        if tag.labels and tag.kind in ("int", "float")
        else _KIND_TYPES.get(tag.kind, "double")
    )
