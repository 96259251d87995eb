"""What every open line to a device offers, whoever speaks on it: requests in, replies out."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from connectors.modbus.frame import (
    GATEWAY_PATH_UNAVAILABLE,
    GATEWAY_TARGET_SILENT,
    Answer,
    Request,
    exception_cause,
)
from edge_agent.sdk import STATUS, DeviceError

Reply = Answer | DeviceError
"""Data bytes, an exception code, or why there is no answer."""

_GATEWAY: Final = frozenset({GATEWAY_PATH_UNAVAILABLE, GATEWAY_TARGET_SILENT})

#: Seconds to the first probe, between probes, and probes until a silent TCP peer counts as gone.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


@dataclass(frozen=True, slots=True)
class Timing:
    """How one device wants to be asked."""

    timeout: float = 1.0
    window: int = 1
    """Requests under way at once."""
    pause: float = 0.0
    """Seconds between an answer and the next request."""


class Line(Protocol):
    """An open line. Used by one task at a time."""

    arrived: int
    """Wall clock when the last answer arrived, integer nanoseconds."""

    async def exchange(self, requests: Sequence[Request], timing: Timing) -> list[Reply]:
        """A reply to each request, in their order. Raises the DeviceError(lost=True) that ended the line, once it has
        ended; a failure the line survives is returned in the place of the replies that are missing."""

    def close(self) -> None:
        """Give the line up at once; never raises."""


def silent_unit(request: Request, answer: Answer) -> DeviceError | None:
    """The error when a gateway says that the unit does not answer it. The gateway takes its time over each such
    request: the unit is to be asked for no more of this exchange."""
    if isinstance(answer, int) and answer in _GATEWAY:
        return DeviceError(STATUS["BadNoCommunication"], exception_cause(answer, request))
    return None


def tune(sock: socket.socket) -> None:
    """Send at once, and notice a peer that vanished while nothing is asked."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):  # some systems refuse the figures; the polls notice a dead peer anyway
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
