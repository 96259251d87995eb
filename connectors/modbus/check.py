"""What can be said of a Modbus device before it is asked: everything wrong, what is worth knowing, how many requests.

Opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from connectors.modbus import constants
from connectors.modbus.address import check_area
from connectors.modbus.endpoint import OWN, on_pymodbus, parse_url, pipelined
from connectors.modbus.invalid import InvalidError
from connectors.modbus.layout import layout_of
from connectors.modbus.options import ModbusDevice, device_options, tag_options
from connectors.modbus.point import kind
from edge_agent.sdk import DevicePlan, Kind, Options, Problem


def kind_of(options: Options) -> Kind:
    """The shape of a tag's values."""
    return kind(tag_options(options))


def connection_key(options: Options) -> str:
    """Devices at the same endpoint with the same credentials share one connection."""
    device = device_options(options)
    try:
        endpoint = parse_url(device.url)
    except InvalidError:  # `check` says what is wrong with it
        return device.url
    client = ["pymodbus"] if endpoint.scheme in OWN and on_pymodbus(endpoint, device) else []
    return "|".join(
        [str(endpoint), *client, *(str(file) for file in (device.ca, device.cert, device.key) if file is not None)]
    )


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
    yield from constants.problems(device)
    for table in plan.tables:
        yield from layout_of(table, device).problems


def notes(plan: DevicePlan) -> Iterator[Problem]:
    """What this machine lacks now and may have later, and keys that have no effect."""
    device = device_options(plan.options)
    endpoint = parse_url(device.url)
    if endpoint.serial and not os.path.exists(endpoint.path):
        yield Problem(
            None,
            "url",
            f"本机上没有串口 {endpoint.path}：请插好 USB 转换器或更正路径；其他设备不受影响，插好后会自动连接。",
            f"There is no serial port {endpoint.path} here: plug the adapter in or correct the path. The other devices "
            f"run meanwhile, and the port is opened as soon as it is there.",
        )
    if endpoint.unstable:
        yield Problem(
            None,
            "url",
            f"{endpoint.path} 这类名称在重启或重新插拔后可能对调，另一条总线的数值会记到这台设备名下："
            "请改用 /dev/serial/by-id/... 或 /dev/serial/by-path/... 下的名称（ls -l /dev/serial/by-id 可查看）；"
            "两条总线上的设备相同时，代理自己区分不了。",
            f"A name such as {endpoint.path} may change places with another at the next start, and the values of the"
            " other bus would stand under this device: use the name below /dev/serial/by-id/... or"
            " /dev/serial/by-path/... (`ls -l /dev/serial/by-id` lists them). Equal devices"
            " on both buses cannot be told apart by the agent.",
        )
    if device.pipeline > 1 and not pipelined(endpoint, device):
        yield Problem(
            None,
            "pipeline",
            "pipeline 只对 tcp://、client: own 且没有 pause_ms 时有效；这里每次只有一个请求。",
            "pipeline has an effect on tcp:// with client: own and without pause_ms only; here one request is under "
            "way at a time.",
        )


def requests(plan: DevicePlan) -> int:
    """Requests that read all tables of a device once, as long as it refuses none."""
    device = device_options(plan.options)
    return sum(len(layout_of(table, device).groups) for table in plan.tables)


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
    if device.client == "own" and endpoint.scheme not in OWN:
        yield Problem(
            None,
            "client",
            f"client: own 只用于 tcp:// 和 rtu-tcp://；{endpoint.scheme}:// 一律由 pymodbus 处理，请去掉 client。",
            f"client: own is for tcp:// and rtu-tcp:// only; {endpoint.scheme}:// is always pymodbus': remove client.",
        )
    if endpoint.scheme != "tls" and (device.ca or device.cert or device.key):
        yield Problem(
            None,
            "ca" if device.ca else "cert",
            f"ca、cert、key 只用于 tls://，而 url 是 {endpoint.scheme}://：请改用 tls:// 或去掉它们。",
            f"ca, cert and key belong to tls://, but the url is {endpoint.scheme}://: use tls:// or remove them.",
        )
        return
    if device.key is not None and device.cert is None:
        yield Problem(
            None,
            "key",
            "写了 key 而没有 cert：请补上客户端证书 cert，或去掉 key。",
            "There is a key but no cert: add the client's certificate as cert, or remove key.",
        )
        return
    for key, file in (("ca", device.ca), ("cert", device.cert), ("key", device.key)):
        if file is not None and not os.access(file, os.R_OK):
            yield Problem(
                None,
                key,
                f"文件 {file} 不存在或无权读取：请更正 {key} 的路径或文件权限。",
                f"The file {file} is missing or may not be read: correct the path of {key} or the file's permissions.",
            )
