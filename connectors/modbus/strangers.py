"""What speaks at an address that is no Modbus: told from the first bytes that came."""

from __future__ import annotations

from typing import Final

from edge_agent.sdk import Cause, cause

_SHOWN: Final = 60
_HEX: Final = 8
_TELNET: Final = 0xFF
_TELNET_COMMANDS: Final = range(0xFB, 0xFF)

ANOTHER_SERVICE: Final = "modbus_another_service"
"""The name of the cause."""

#: How the bytes of other services begin, and what those are called.
_SERVICES: Final = (
    (b"HTTP/", "HTTP 服务", "an HTTP server"),
    (b"<!DOCTYPE", "HTTP 服务", "an HTTP server"),
    (b"<html", "HTTP 服务", "an HTTP server"),
    (b"SSH-", "SSH 服务", "an SSH server"),
    (b"RTSP/", "RTSP 服务", "an RTSP server"),
    (b"RFB ", "VNC 服务", "a VNC server"),
    (b"220", "FTP 或邮件服务", "an FTP or mail server"),
    (b"\x15\x03", "TLS 服务，请改用 tls://", "a TLS server, for which tls:// is meant"),
    (
        b"ERRF",
        "OPC UA 服务器，请改用 opc.tcp://",
        "an OPC UA server, for which opc.tcp:// is meant",
    ),
    (b"-ERR", "另一种服务", "another service"),
)


def stranger(data: bytes) -> Cause | None:
    """The cause for bytes that begin as another service does, or as a text; None for others, and
    for too few."""
    for begin, zh, en in _SERVICES:
        if data[: len(begin)].lower() == begin.lower():
            return _of(data, zh, en)
    if len(data) >= 2 and data[0] == _TELNET and data[1] in _TELNET_COMMANDS:
        return _of(data, "Telnet 服务", "a Telnet server")
    if len(data) >= 2 and _is_text(data):
        return _of(data, "另一种服务", "another service")
    return None


def no_frame(data: bytes, why_zh: str, why_en: str) -> Cause:
    """The cause for bytes that cannot be a frame."""
    return stranger(data) or cause(
        "modbus_not_modbus", why=f"{why_en}; {_shown(data)}", why_zh=f"{why_zh}；{_shown(data)}"
    )


def _of(data: bytes, zh: str, en: str) -> Cause:
    shown = _shown(data)
    return cause(ANOTHER_SERVICE, why=f"{en}, {shown}", why_zh=f"{zh}，{shown}")


def _is_text(data: bytes) -> bool:
    """Whether every byte of a first line is a letter or a sign that is seen."""
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    return bool(line) and all(byte == 0x09 or 0x20 <= byte < 0x7F for byte in line)


def _shown(data: bytes) -> str:
    """The first line where it is a text, else the first bytes in hexadecimal."""
    if not _is_text(data):
        return data[:_HEX].hex(" ")
    line = data.split(b"\n", 1)[0].decode("ascii").strip()
    return f"“{line if len(line) <= _SHOWN else line[: _SHOWN - 1] + '…'}”"
