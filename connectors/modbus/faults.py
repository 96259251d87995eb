"""Why a line could not be opened, as the DeviceError that names the file, the port or the
address."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import Final

from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.options import ModbusDevice
from edge_agent.sdk import STATUS, DeviceError, cause_of_error, words_of

_SERIAL: Final = {
    errno.ENOENT: "port_missing", errno.ENODEV: "port_missing", errno.ENXIO: "port_missing",
    errno.EACCES: "port_forbidden", errno.EPERM: "port_forbidden",
    errno.EBUSY: "port_busy", errno.EAGAIN: "port_busy", errno.EWOULDBLOCK: "port_busy",
}  # fmt: skip

NO_PASSWORD: Final = "the key file has a password"  # noqa: S105 - a sentence
"""What `stock` raises as a ValueError when the key of a TLS client has one."""


def open_error(
    error: OSError | ValueError, endpoint: ModbusEndpoint, options: ModbusDevice
) -> DeviceError:
    """The error for what came up while a line was opened; it is lost."""
    if str(error) == NO_PASSWORD:
        return DeviceError.of("key_with_password", lost=True)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError):
        for path in (options.ca, options.cert, options.key):
            if path is not None and (found := _file_error(path)) is not None:
                return found
        if endpoint.serial and error.errno in _SERIAL:
            return DeviceError.of(_SERIAL[error.errno], lost=True, path=endpoint.path)
    cause = cause_of_error(error, str(endpoint))
    return DeviceError(STATUS["BadNoCommunication"], cause, lost=True)


def _file_error(path: Path) -> DeviceError | None:
    """The error for a file that cannot be read; None when it can."""
    try:
        path.open("rb").close()
    except OSError as error:
        zh, en = words_of(error)
        return DeviceError.of("file_unreadable", lost=True, path=path, why=en, why_zh=zh)
    return None
