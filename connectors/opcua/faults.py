"""Whatever goes wrong on the way to a server, as one DeviceError with a plain sentence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.binary import DecodeError
from connectors.opcua.messages import ServiceFault
from connectors.opcua.pki import NotTrustedError
from edge_agent.sdk import STATUS, DeviceError

_UNTRUSTED: Final = 0x801A0000
_USER: Final = (
    "the server refused the user: check user.name and user.password (or user.certificate) and its rights there"
)
_TRUST: Final = "the server does not accept our certificate: have {own} put among the certificates it trusts"

#: Codes of OPC 10000-6 (StatusCode.csv) that a commissioning engineer meets, and what to do about each.
_SENTENCES: Final[dict[int, str]] = {
    0x801F0000: _USER,  # BadUserAccessDenied
    0x80200000: _USER,  # BadIdentityTokenInvalid
    0x80210000: _USER,  # BadIdentityTokenRejected
    0x80580000: _USER,  # BadUserSignatureInvalid
    0x80120000: _TRUST,  # BadCertificateInvalid
    0x80130000: _TRUST,  # BadSecurityChecksFailed
    0x801A0000: _TRUST,  # BadCertificateUntrusted
    0x80540000: "the server does not offer this security.mode",  # BadSecurityModeRejected
    0x80550000: "the server does not offer this security.policy",  # BadSecurityPolicyRejected
    0x80560000: "the server has too many sessions: close other clients or raise its limit",  # BadTooManySessions
    0x80770000: "the server has too many subscriptions: use mode: read, or fewer different periods",
    0x80790000: "the server has lost our subscriptions",  # BadNoSubscription
    0x80250000: "the server has lost our session",  # BadSessionIdInvalid
    0x80260000: "the server has closed our session",  # BadSessionClosed
    0x80840000: "the server does not serve this address: check endpoint",  # BadTcpEndpointUrlInvalid
    0x80830000: "the server does not serve this address: check endpoint",
}


#: Answers that say: the session or the secure channel is no longer known to the server. Nothing is wrong with what was
#: asked; on a new session it may be asked again.
_SESSION_LOST: Final = frozenset(
    {
        0x80220000,  # BadSecureChannelIdInvalid
        0x80250000,  # BadSessionIdInvalid
        0x80260000,  # BadSessionClosed
        0x80270000,  # BadSessionNotActivated
        0x807F0000,  # BadTcpSecureChannelUnknown
        0x80860000,  # BadSecureChannelClosed
        0x80870000,  # BadSecureChannelTokenUnknown
        0x80AE0000,  # BadConnectionClosed
    }
)


def is_session_lost(error: BaseException) -> bool:
    """Whether an error means that the session or its connection is gone, as opposed to a server that says nothing."""
    if isinstance(error, UaStatusCodeError | ServiceFault):
        return int(error.code) & 0xFFFF0000 in _SESSION_LOST
    return isinstance(error, OSError) and not isinstance(error, TimeoutError)


class SinkError(Exception):
    """The receiver of the batches failed; its own error is the cause and goes on unchanged."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def explain(error: BaseException, endpoint: str, own: str = "our certificate") -> DeviceError:
    """The DeviceError for any exception of a connection; the connection is not to be used again."""
    if isinstance(error, DeviceError):
        return error
    status, detail = _reason(error, own)
    return DeviceError(status, f"{endpoint}: {detail}", lost=True)


def _reason(error: BaseException, own: str) -> tuple[int, str]:
    if isinstance(error, UaStatusCodeError | ServiceFault):
        code = int(error.code)
        return code, _SENTENCES.get(code, f"the server answered {error}").format(own=own)
    if isinstance(error, NotTrustedError):
        return _UNTRUSTED, str(error)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return STATUS["BadTimeout"], "no answer in time; check that the server runs and the network lets it through"
    if isinstance(error, socket.gaierror):
        return STATUS["BadNoCommunication"], "the host name cannot be resolved; check endpoint and the DNS"
    if isinstance(error, ConnectionRefusedError):
        return STATUS["BadNoCommunication"], "nothing listens there; check that the server runs, and its port"
    if isinstance(error, OSError):
        return STATUS["BadNoCommunication"], f"the connection is lost or cannot be made ({error})"
    if isinstance(error, DecodeError):
        return STATUS["BadDecodingError"], f"the server sent something that is not OPC UA ({error})"
    return STATUS["BadCommunicationError"], f"the exchange failed ({type(error).__name__}: {error})"


@contextlib.contextmanager
def device_errors(endpoint: str, own: str = "our certificate") -> Iterator[None]:
    """Turn every exception inside into the DeviceError it means."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - asyncua lets through whatever its decoders stumble over
        first = _first(error)
        if isinstance(first, SinkError):
            raise first.error from None
        raise explain(first, endpoint, own) from first


def _first(error: Exception) -> Exception:
    """The first error of a task group (which lets a cancellation through ungrouped), or the error itself."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
