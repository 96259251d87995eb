"""asyncua's decoded objects as our columns: the path taken where its internals are not the ones we
know."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from asyncua import ua

from connectors.opcua.binary import UNSUPPORTED, Structure, flat_array, ticks_to_ns, time_text
from connectors.opcua.columns import Columns
from connectors.opcua.messages import Published
from edge_agent.sdk import shortest_single

_TEXTS = (ua.VariantType.String, ua.VariantType.XmlElement, ua.VariantType.ByteString)
_EPOCH = datetime(1601, 1, 1)


def columns(items: Iterable[ua.DataValue]) -> Columns:
    """DataValues of a read, in order."""
    out = Columns()
    for item in items:
        _append(out, item)
    return out


def published(result: ua.PublishResult) -> Published:
    """A PublishResponse's parameters, decoded by asyncua."""
    message = result.NotificationMessage
    available = result.AvailableSequenceNumbers or ()
    out = Published(
        int(result.SubscriptionId), int(message.SequenceNumber), tuple(map(int, available))
    )
    _notifications(out, message.NotificationData or ())
    return out


def republished(subscription: int, message: ua.NotificationMessage) -> Published:
    """A RepublishResponse's message."""
    out = Published(subscription, int(message.SequenceNumber))
    _notifications(out, message.NotificationData or ())
    return out


def _notifications(out: Published, data: Iterable[Any]) -> None:
    for notification in data:
        out.data = True
        if isinstance(notification, ua.DataChangeNotification):
            out.changes = out.changes or Columns()
            for item in notification.MonitoredItems:
                out.changes.handles.append(int(item.ClientHandle))
                _append(out.changes, item.Value)
        elif isinstance(notification, ua.StatusChangeNotification):
            out.ended = int(notification.Status.value)


def _append(out: Columns, item: ua.DataValue) -> None:
    code = 0 if item.StatusCode is None else int(item.StatusCode.value)
    if code:
        out.status[len(out.values)] = code
    out.values.append(value_of(item.Value))
    source = None if item.SourceTimestamp is None else ticks_to_ns(_ticks(item.SourceTimestamp))
    if source is None and item.ServerTimestamp is not None:
        source = ticks_to_ns(_ticks(item.ServerTimestamp))
    out.source.append(source)


def _ticks(moment: datetime) -> int:
    """100 ns ticks since 1601; exact in integers, which `timestamp()` is not."""
    return (moment.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1) * 10


def value_of(variant: ua.Variant | None) -> Any:
    """A Variant as one of our values, None, or UNSUPPORTED, exactly as `binary.variant` gives
    it."""
    if variant is None:
        return None
    if not variant.is_array:
        return _scalar(variant.Value, variant.VariantType)
    return flat_array([_scalar(value, variant.VariantType) for value in _flat(variant.Value or ())])


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _text(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _scalar(value: Any, kind: ua.VariantType) -> Any:
    if value is None:
        return "" if kind in _TEXTS else None
    if kind == ua.VariantType.Float:
        return shortest_single(value)
    convert = _CONVERT.get(type(value))
    if convert is not None:
        return convert(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, ua.NodeId):
        return _node_id(value)
    return _structure(value) if kind == ua.VariantType.ExtensionObject else UNSUPPORTED


def _structure(value: Any) -> Structure:
    """As `binary` reads it from the wire."""
    known = ua.uatypes.typeid_by_extension_objects.get(type(value))
    type_id = getattr(value, "TypeId", None) if known is None else known
    name = _node_id(type_id) if isinstance(type_id, ua.NodeId) else type(value).__name__
    # By its name and not its class: asyncua has two classes for an argument.
    if name == "i=886":
        return Structure(name, {"low": value.Low, "high": value.High})
    if name == "i=889":
        return Structure(
            name,
            {
                "namespaceUri": _text(value.NamespaceUri or ""),
                "unitId": value.UnitId,
                "displayName": _text(value.DisplayName.Text or ""),
                "description": _text(value.Description.Text or ""),
            },
        )
    if name == "i=298":
        return Structure(
            name,
            {
                "name": _text(value.Name or ""),
                "dataType": _node_id(value.DataType),
                "valueRank": int(value.ValueRank),
                "arrayDimensions": list(map(int, value.ArrayDimensions or ())),
                "description": _text(value.Description.Text or ""),
            },
        )
    return Structure(name)


def _node_id(value: ua.NodeId) -> str:
    namespace = f"ns={value.NamespaceIndex};" if value.NamespaceIndex else ""
    own = ua.NodeId(value.Identifier, ua.Int16(0), value.NodeIdType).to_string()
    if isinstance(value, ua.ExpandedNodeId):
        namespace = f"nsu={value.NamespaceUri};" if value.NamespaceUri else namespace
        namespace = f"svr={value.ServerIndex};{namespace}" if value.ServerIndex else namespace
    return namespace + _text(own)


_CONVERT: dict[type, Any] = {
    str: _text,
    bytes: bytes.hex,
    datetime: lambda v: time_text(_ticks(v)),
    uuid.UUID: str,
    ua.XmlElement: lambda v: _text(v.Value or ""),
    ua.LocalizedText: lambda v: _text(v.Text or ""),
    ua.QualifiedName: lambda v: _text(
        f"{v.NamespaceIndex}:{v.Name or ''}" if v.NamespaceIndex else v.Name or ""
    ),
    ua.StatusCode: lambda v: int(v.value),
    ua.DataValue: lambda v: value_of(v.Value),
    ua.Variant: value_of,
}
