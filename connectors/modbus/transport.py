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
    ProtocolError,
    ReadRequest,
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


class SkippedError(DeviceError):
    """A request that was given up because another one before it was not answered: nothing is known
    about it."""


class MalformedReplyError(DeviceError):
    """A whole answer came that is wrong inside."""


class SilentError(DeviceError):
    """A gateway answered that the unit did not answer it."""


class ModbusTransport(Protocol):
    """An open line. Used by one task at a time."""

    arrived: int
    """Wall clock when the last answer arrived, integer nanoseconds."""
    answers: int
    """Answers since the line was opened."""
    fault: DeviceError | None
    """What ended the last exchange before every request had its reply: a time-out, or the end of
    the line."""
    ended: DeviceError | None
    """Why the line cannot be used any more."""
    closed_by_peer: bool

    @property
    def last_id(self) -> int:
        """The transaction id of the last request; 0 where there are none."""

    @property
    def arrivals(self) -> int:
        """How often bytes arrived since the line was opened."""

    async def exchange(self, requests: Sequence[ReadRequest], timing: Timing) -> list[Reply]:
        """A reply to each request, in their order. Where the exchange ended early, the first
        request without an answer gets the reason and the others a `SkippedError`. Raises the
        DeviceError(lost=True) of a line that has ended."""

    def close(self) -> None:
        """Give the line up at once; never raises."""


def fill(replies: list[Reply | None], error: DeviceError) -> None:
    """An exchange ends with an error: it is the first missing reply, and the others are
    `SkippedError`."""
    missing = [place for place, reply in enumerate(replies) if reply is None]
    if missing:
        replies[missing[0]] = error
    if len(missing) > 1:
        skipped = SkippedError(error.status, error.cause, lost=error.lost)
        for place in missing[1:]:
            replies[place] = skipped


def late(request: ReadRequest, instead: ProtocolError | None, timeout: float) -> DeviceError:
    """The error of a request whose time is over; `instead`: what the framing has seen in the place
    of an answer."""
    if instead is None:
        return DeviceError.of(
            "modbus_silent", unit=request.unit, seconds=f"{timeout:g}", request=request
        )
    return DeviceError(STATUS[instead.status], instead.cause)


def malformed(error: ProtocolError) -> MalformedReplyError:
    """A whole answer that is wrong inside costs its own request and nothing else."""
    return MalformedReplyError(STATUS[error.status], error.cause)


def silent_unit(request: ReadRequest, answer: Answer) -> SilentError | None:
    """The error when a gateway says that the unit does not answer it. The gateway takes its time
    over each such request: the unit is to be asked for no more of this exchange."""
    if isinstance(answer, int) and answer in _GATEWAY:
        return SilentError(STATUS["BadNoCommunication"], exception_cause(answer, request))
    return None


def tune(sock: socket.socket) -> None:
    """Send at once, and notice a peer that vanished while nothing is asked."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # some systems refuse the figures; the polls notice a dead peer anyway
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
