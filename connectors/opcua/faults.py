"""Whatever goes wrong on the way to a server, as one DeviceError with a plain sentence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.binary import DecodeError
from connectors.opcua.messages import ServiceFault
from connectors.opcua.pki import NotTrustedError, ObstacleError
from edge_agent.sdk import STATUS, DeviceError, cause, cause_of_error, cause_of_status, status_name

#: Codes by which a server refuses our certificate.
_NOT_OURS: Final = frozenset(
    {
        "BadCertificateInvalid",
        "BadSecurityChecksFailed",
        "BadCertificateUntrusted",
        "BadCertificateTimeInvalid",
        "BadCertificateUriInvalid",
        "BadCertificateUseNotAllowed",
        "BadApplicationSignatureInvalid",
        "BadCertificateChainIncomplete",
        "BadCertificatePolicyCheckFailed",
        "BadNoValidCertificates",
    }
)


#: Answers that say: the session or the secure channel is no longer known to the server. Nothing is
#: wrong with what was asked; on a new session it may be asked again.
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
    """Whether an error means that the session or its connection is gone, as opposed to a server
    that says nothing."""
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
    return _explained(error, endpoint, own)


def _explained(error: BaseException, where: str, own: str) -> DeviceError:
    if isinstance(error, UaStatusCodeError | ServiceFault):
        return _refused(int(error.code), where, own)
    if isinstance(error, ObstacleError):
        status = (
            "BadCertificateUntrusted"
            if isinstance(error, NotTrustedError)
            else "BadConfigurationError"
        )
        return DeviceError(STATUS[status], error.cause, lost=True)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return DeviceError.of("opcua_no_answer", lost=True, where=where)
    if isinstance(error, OSError):
        return DeviceError(STATUS["BadNoCommunication"], cause_of_error(error, where), lost=True)
    if isinstance(error, DecodeError):
        return DeviceError.of("opcua_not_opcua", lost=True, where=where, why=error)
    return DeviceError.of(
        "opcua_failed", lost=True, where=where, why=f"{type(error).__name__}: {error}"
    )


def _refused(code: int, where: str, own: str) -> DeviceError:
    """The server's own status, kept as it came."""
    name = status_name(code)
    if name in _NOT_OURS:
        return DeviceError(
            code,
            cause("opcua_own_certificate_refused", where=where, status=name, own=own),
            lost=True,
        )
    if name == "BadInternalError":  # the server's own, which our sentence for it would take upon us
        return DeviceError(code, cause("opcua_failed", where=where, why=name), lost=True)
    return DeviceError(code, cause_of_status(name, where), lost=True)


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
    """The first error of a task group (which lets a cancellation through ungrouped), or the error
    itself."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
