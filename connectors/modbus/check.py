"""Everything wrong with a Modbus device that its keys do not show one by one. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.modbus.address import check_area
from connectors.modbus.endpoint import parse_url
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import ModbusDevice, ModbusTag
from connectors.modbus.point import kind, resolve
from edge_agent.sdk import DevicePlan, Kind, Options, Problem


def device_options(options: Options) -> ModbusDevice:
    """A plan's options as ours (they may carry common keys besides)."""
    if not isinstance(options, ModbusDevice):
        raise TypeError(f"{type(options).__name__} are not the options of a Modbus device")
    return options


def tag_options(where: object) -> ModbusTag:
    """A tag's options as ours."""
    if not isinstance(where, ModbusTag):
        raise TypeError(f"{type(where).__name__} are not the options of a Modbus tag")
    return where


def kind_of(options: Options) -> Kind:
    """The shape of a tag's values."""
    return kind(tag_options(options))


def connection_key(options: Options) -> str:
    """Devices at the same endpoint with the same credentials share one connection."""
    device = device_options(options)
    try:
        endpoint = str(parse_url(device.url))
    except InvalidError:  # `check` says what is wrong with it
        return device.url
    return "|".join([endpoint, *(str(file) for file in (device.ca, device.cert, device.key) if file is not None)])


def check(plan: DevicePlan) -> Iterator[Problem]:
    """All problems of a device, its own first, then tag by tag."""
    device = device_options(plan.options)
    try:
        yield from _check_line(device)
    except InvalidError as error:
        yield Problem(None, error.key, error.zh, error.en)
    for name, area in device.areas.items():
        try:
            check_area(name, area)
        except InvalidError as error:
            yield Problem(None, error.key, error.zh, error.en)
    for tag in (tag for table in plan.tables for tag in table.tags):
        try:
            resolve(tag_options(tag.where), device)
        except InvalidError as error:
            yield Problem(tag.name, error.key, error.zh, error.en)


def _check_line(device: ModbusDevice) -> Iterator[Problem]:
    endpoint = parse_url(device.url)
    if endpoint.serial and not 1 <= device.unit <= 247:
        yield Problem(
            None,
            "unit",
            f"串行总线上的站号须为 1 到 247，而这里是 {device.unit}（0 是广播，没有应答）：请核对设备的站号。",
            f"On a serial bus a unit is 1 to 247, not {device.unit} (0 is broadcast and never answers): "
            f"check the device's station number.",
        )
    if endpoint.scheme != "tls" and (device.ca or device.cert or device.key):
        yield Problem(
            None,
            "ca" if device.ca else "cert",
            f"ca、cert、key 只用于 tls://，而 url 是 {endpoint.scheme}://：请改用 tls:// 或去掉它们。",
            f"ca, cert and key belong to tls://, but the url is {endpoint.scheme}://: use tls:// or remove them.",
        )
    if device.key is not None and device.cert is None:
        yield Problem(
            None,
            "key",
            "写了 key 而没有 cert：请补上客户端证书 cert，或去掉 key。",
            "There is a key but no cert: add the client's certificate as cert, or remove key.",
        )
