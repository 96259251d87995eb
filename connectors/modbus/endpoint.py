"""A device's `url`, taken apart and checked without opening anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import ModbusDevice

DEFAULT_PORT: Final = {"tcp": 502, "rtu-tcp": 502, "udp": 502, "tls": 802}
SERIAL: Final = frozenset({"rtu", "ascii"})
#: Where the agent has a codec of its own; all else is pymodbus'.
OWN: Final = frozenset({"tcp", "rtu-tcp"})
#: The two ways to pack requests on a TCP connection, which are easily mistaken for one another.
OTHER_FRAMING: Final = {"tcp": "rtu-tcp", "rtu-tcp": "tcp"}
SCHEMES: Final = (*DEFAULT_PORT, *sorted(SERIAL))

#: Serial names that the kernel gives in the order in which adapters appear.
UNSTABLE: Final = ("/dev/ttyUSB", "/dev/ttyACM")

#: Bits on the line for one byte with start bit, parity and stop bit (Modbus over serial line V1.02,
#: 2.5.1).
_BITS_PER_BYTE: Final = 11


@dataclass(frozen=True, slots=True)
class ModbusEndpoint:
    """A TCP or UDP address, or a serial port with its line settings."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    baudrate: int = 19200
    bytesize: int = 8
    parity: str = "E"
    stopbits: int = 1

    @property
    def serial(self) -> bool:
        """Whether this is a bus with one talker at a time, kept open when a unit is silent."""
        return self.scheme in SERIAL

    @property
    def unstable(self) -> bool:
        """Whether this name may stand for another adapter after the next start."""
        return self.serial and self.path.startswith(UNSTABLE)

    @property
    def bus(self) -> bool:
        """Whether a failure (a lost datagram, noise) leaves the line itself as it was."""
        return self.serial or self.scheme == "udp"

    @property
    def silence(self) -> float:
        """Seconds of quiet between frames: 3.5 characters, 1.75 ms above 19200 baud (serial line
        V1.02, 2.5.1.1)."""
        if self.scheme != "rtu":
            return 0.0
        return 3.5 * _BITS_PER_BYTE / self.baudrate if self.baudrate <= 19200 else 0.00175

    def __str__(self) -> str:
        if not self.serial:
            host = f"[{self.host}]" if ":" in self.host else self.host
            return f"{self.scheme}://{host}:{self.port}"
        frame = f"bytesize={self.bytesize}&parity={self.parity}&stopbits={self.stopbits}"
        return f"{self.scheme}://{self.path}?baudrate={self.baudrate}&{frame}"


def on_pymodbus(endpoint: ModbusEndpoint, options: ModbusDevice) -> bool:
    """Whether pymodbus speaks on this line. EDGE_AGENT_STOCK=1 turns the fast paths of the agent
    off."""
    return (
        endpoint.scheme not in OWN
        or options.client == "pymodbus"
        or os.environ.get("EDGE_AGENT_STOCK") == "1"
    )


def pipelined(endpoint: ModbusEndpoint, options: ModbusDevice) -> bool:
    """Whether requests may overlap: only where frames carry a transaction id on a reliable stream,
    the device wants no pause before each, and pymodbus, which has one request under way at a time,
    does not speak."""
    return endpoint.scheme == "tcp" and not options.pause_ms and not on_pymodbus(endpoint, options)


def parse_url(url: str) -> ModbusEndpoint:
    """The endpoint of a URL. Raises InvalidError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidError(
            "url",
            f"{url} 不是有效的地址：端口须为 1 到 65535，例如 tcp://10.0.1.50:502。",
            f"{url} is not a valid URL: the port must be 1 to 65535, as in tcp://10.0.1.50:502.",
        ) from None
    if parts.scheme not in SCHEMES:
        raise InvalidError(
            "url",
            f"{url} 的开头应为 {'、'.join(s + '://' for s in SCHEMES)} 之一，例如 "
            "tcp://10.0.1.50:502。",
            f"{url} must begin with one of {', '.join(s + '://' for s in SCHEMES)}, as in "
            "tcp://10.0.1.50:502.",
        )
    if parts.scheme in SERIAL:
        return _serial(url, parts.scheme, parts.netloc, parts.path, parts.query)
    if (
        not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
        or parts.username is not None
        or port == 0
    ):
        raise InvalidError(
            "url",
            f"{url} 应写成 {parts.scheme}://主机:端口，例如 "
            f"{parts.scheme}://10.0.1.50:{DEFAULT_PORT[parts.scheme]}。",
            f"{url} should read {parts.scheme}://host:port, as in "
            f"{parts.scheme}://10.0.1.50:{DEFAULT_PORT[parts.scheme]}.",
        )
    return ModbusEndpoint(parts.scheme, parts.hostname, port or DEFAULT_PORT[parts.scheme])


def _serial(url: str, scheme: str, netloc: str, path: str, query: str) -> ModbusEndpoint:
    if netloc or len(path) < 2:
        raise InvalidError(
            "url",
            f"{url} 应写成 {scheme}:///dev/ttyUSB0（三个斜杠，然后是设备路径）。",
            f"{url} should read {scheme}:///dev/ttyUSB0 (three slashes, then the path of the "
            "device).",
        )
    settings = dict(parse_qsl(query, keep_blank_values=True))
    known = {"baudrate", "bytesize", "parity", "stopbits"}
    for name in settings.keys() - known:
        raise InvalidError(
            "url",
            f"{url} 中没有 {name} 这个串口参数；可用的是 {'、'.join(sorted(known))}。",
            f"{url}: there is no serial setting {name}; there are {', '.join(sorted(known))}.",
        )
    return ModbusEndpoint(
        scheme,
        path=path,
        baudrate=_number(url, settings, "baudrate", 19200, range(110, 4_000_001)),
        bytesize=_number(
            url,
            settings,
            "bytesize",
            8 if scheme == "rtu" else 7,
            range(8 if scheme == "rtu" else 7, 9),
        ),
        parity=_parity(url, settings.get("parity", "E").upper()),
        stopbits=_number(url, settings, "stopbits", 1, range(1, 3)),
    )


def _number(url: str, settings: dict[str, str], name: str, default: int, allowed: range) -> int:
    text = settings.get(name, str(default))
    if text.isascii() and text.isdigit() and len(text) < 9 and int(text) in allowed:
        return int(text)
    raise InvalidError(
        "url",
        f"{url} 中 {name}={text} 不可用：须为 {allowed[0]} 到 {allowed[-1]} 的整数。",
        f"{url}: {name}={text} cannot be used; it must be a whole number from {allowed[0]} to "
        f"{allowed[-1]}.",
    )


def _parity(url: str, parity: str) -> str:
    if parity in {"N", "E", "O"}:
        return parity
    raise InvalidError(
        "url",
        f"{url} 中 parity={parity} 不可用：N 无校验、E 偶校验、O 奇校验。",
        f"{url}: parity={parity} cannot be used; it is N (none), E (even) or O (odd).",
    )
