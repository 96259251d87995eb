"""What can be said of a Modbus device before it is asked: everything wrong, what is worth knowing,
how many requests.

Opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from connectors.modbus import constants
from connectors.modbus.address import check_area
from connectors.modbus.endpoint import OWN, SCHEMES, SERIAL, on_pymodbus, parse_url, pipelined
from connectors.modbus.invalid import InvalidError
from connectors.modbus.layout import layout_of
from connectors.modbus.options import Area, ModbusDevice, device_options, tag_options
from connectors.modbus.point import kind
from edge_agent.sdk import DevicePlan, Kind, Options, Problem, cause

#: What the birth document says of a number that is read in parts.
PARTS_NOTE: Final = (
    "分几次读取：先高位、后低位、再读高位，两次高位相同才为好。"
    " Read in parts, high, low, high again: good when both readings of the high part are equal."
)


def kind_of(options: Options) -> Kind:
    """The shape of a tag's values, of a device without areas."""
    return kind(tag_options(options), {})


def kinds(options: Options) -> Callable[[Options], Kind]:
    """The shape of the tags of a device: an area of coils gives bools. Devices with equal areas get
    equal functions."""
    return _KindOf(tuple(device_options(options).areas.items()))


@dataclass(frozen=True, slots=True)
class _KindOf:
    """A function that compares by what it knows, and can go to another process with what was made
    by it."""

    areas: tuple[tuple[str, Area], ...]

    def __call__(self, options: Options) -> Kind:
        return kind(tag_options(options), dict(self.areas))


def connection_key(options: Options) -> str:
    """Devices at the same endpoint with the same credentials share one connection."""
    device = device_options(options)
    try:
        endpoint = parse_url(device.url)
    except InvalidError:  # `check` says what is wrong with it
        return device.url
    client = ["pymodbus"] if endpoint.scheme in OWN and on_pymodbus(endpoint, device) else []
    return "|".join(
        [
            str(endpoint),
            *client,
            *(str(file) for file in (device.ca, device.cert, device.key) if file is not None),
        ]
    )


def check(plan: DevicePlan) -> Iterator[Problem]:
    """All problems of a device, its own first, then tag by tag."""
    device = device_options(plan.options)
    try:
        parse_url(device.url)
    except InvalidError as error:
        yield Problem(None, error.key, error.zh, error.en, certain=True)
    scheme = device.url.partition("://")[0]
    if scheme in SCHEMES:  # known also where the rest of the url is wrong
        yield from _check_line(device, scheme)
    if scheme == "tls" or scheme not in SCHEMES:
        yield from _check_files(device)
    for name, area in device.areas.items():
        try:
            check_area(name, area)
        except InvalidError as error:
            yield Problem(None, error.key, error.zh, error.en, rests_on=())
    yield from constants.problems(device)
    for table in plan.tables:
        yield from layout_of(table, device).problems


def notes(plan: DevicePlan) -> Iterator[Problem]:
    """What this machine lacks now and may have later, and keys that have no effect."""
    device = device_options(plan.options)
    endpoint = parse_url(device.url)
    if endpoint.serial and not os.path.exists(endpoint.path):
        why = cause("port_missing", path=endpoint.path)  # what the log and `status` will say
        yield Problem(None, "url", why.zh, why.en)
    if endpoint.unstable:
        yield Problem(
            None,
            "url",
            f"{endpoint.path} 这类名称在重启或重新插拔后可能对调，另一条总线的数值会记到这台"
            "设备名下："
            "请改用 /dev/serial/by-id/... 或 /dev/serial/by-path/... 下的名称（ls -l "
            "/dev/serial/by-id 可查看）；"
            "两条总线上的设备相同时，代理自己区分不了。",
            f"A name such as {endpoint.path} may change places with another at the next start, "
            "and the values of the"
            " other bus would stand under this device: use the name below /dev/serial/by-id/... or"
            " /dev/serial/by-path/... (`ls -l /dev/serial/by-id` lists them). Equal devices"
            " on both buses cannot be told apart by the agent.",
        )
    yield from _parts_notes(plan)
    if endpoint.bus and device.connection != "auto":
        yield Problem(
            None,
            "connection",
            f"connection 只对 tcp://、rtu-tcp:// 和 tls:// 有效，{endpoint.scheme}:// "
            "没有连接可言：请去掉它。",
            "connection has an effect on tcp://, rtu-tcp:// and tls:// only, and "
            f"{endpoint.scheme}:// has none: "
            f"remove it.",
        )
    if device.pipeline > 1 and not pipelined(endpoint, device):
        yield Problem(
            None,
            "pipeline",
            "pipeline 只对 tcp://、client: own 且没有 pause_ms 时有效；这里每次只有一个请求。",
            "pipeline has an effect on tcp:// with client: own and without pause_ms only; here "
            "one request is under "
            "way at a time.",
        )


def _parts_notes(plan: DevicePlan) -> Iterator[Problem]:
    names = sorted(tag_notes(plan))
    if names:
        shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        yield Problem(
            None,
            "max_registers",
            f"有 {len(names)} 个变量比 max_registers 宽（{shown}），将分几次读取：先高位、"
            "后低位、再读高位，"
            f"两次高位相同才为好；设备若允许，请调大 max_registers。",
            f"{len(names)} tags are wider than max_registers ({shown}) and are read in parts: "
            "high, low, high again, "
            f"good when both highs are equal. Raise max_registers where the device allows it.",
        )


def tag_notes(plan: DevicePlan) -> dict[str, str]:
    """Tags that are read in parts, because `max_registers` is smaller than they are."""
    device = device_options(plan.options)
    found: dict[str, str] = {}
    for table in plan.tables:
        layout = layout_of(table, device)
        for span in layout.oversized:
            found.update((table.names[place], PARTS_NOTE) for place, _ in layout.points[span])
    return found


def requests(plan: DevicePlan) -> int:
    """Requests that read all tables of a device once, as long as it refuses none."""
    device = device_options(plan.options)
    layouts = [layout_of(table, device) for table in plan.tables]
    parts = sum(
        len(layout.part_read(span).requests) for layout in layouts for span in layout.oversized
    )
    return parts + sum(len(layout.groups) for layout in layouts)


def _check_line(device: ModbusDevice, scheme: str) -> Iterator[Problem]:
    if scheme in SERIAL and not 1 <= device.unit <= 247:
        yield Problem(
            None,
            "unit",
            f"串行总线上的站号须为 1 到 247，而这里是 {device.unit}（0 是广播，没有应答）："
            "请核对设备的站号。",
            f"On a serial bus a unit is 1 to 247, not {device.unit} (0 is broadcast and never "
            "answers): "
            f"check the device's station number.",
            rests_on=("url",),
        )
    if device.client == "own" and scheme not in OWN:
        yield Problem(
            None,
            "client",
            f"client: own 只用于 tcp:// 和 rtu-tcp://；{scheme}:// 一律由 pymodbus 处理，请去掉 "
            "client。",
            f"client: own is for tcp:// and rtu-tcp:// only; {scheme}:// is always pymodbus': "
            "remove client.",
            rests_on=("url",),
        )
    if scheme != "tls" and (device.ca or device.cert or device.key):
        yield Problem(
            None,
            "ca" if device.ca else "cert",
            f"ca、cert、key 只用于 tls://，而 url 是 {scheme}://：请改用 tls:// 或去掉它们。",
            f"ca, cert and key belong to tls://, but the url is {scheme}://: use tls:// or "
            "remove them.",
            rests_on=("url",),
        )


def _check_files(device: ModbusDevice) -> Iterator[Problem]:
    """The files of tls://."""
    if device.key is not None and device.cert is None:
        yield Problem(
            None,
            "key",
            "写了 key 而没有 cert：请补上客户端证书 cert，或去掉 key。",
            "There is a key but no cert: add the client's certificate as cert, or remove key.",
            rests_on=("cert",),
        )
        return
    for key, file in (("ca", device.ca), ("cert", device.cert), ("key", device.key)):
        if file is not None and not os.access(file, os.R_OK):
            yield Problem(
                None,
                key,
                f"文件 {file} 不存在或无权读取：请更正 {key} 的路径或文件权限。",
                f"The file {file} is missing or may not be read: correct the path of {key} or "
                "the file's permissions.",
                certain=True,
            )
