"""The cause behind an error of the operating system: on the way to an address, or at a file."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Final

_ZH: Final = {
    errno.EHOSTUNREACH: "主机不可达",
    errno.ENETUNREACH: "网络不可达",
    errno.ENETDOWN: "网络已断开",
    errno.EHOSTDOWN: "主机已关机",
    errno.ECONNREFUSED: "连接被拒绝",
    errno.ETIMEDOUT: "连接超时",
    errno.ECONNRESET: "连接被重置",
    errno.ECONNABORTED: "连接被中止",
    errno.EPIPE: "连接已断开",
    errno.EPERM: "操作不被允许",
    errno.EACCES: "权限不足",
    errno.ENOENT: "文件不存在",
    errno.EISDIR: "是一个目录",
    errno.ENOTDIR: "路径中有一段不是目录",
    errno.EROFS: "只读文件系统",
    errno.ENOSPC: "磁盘已满",
    errno.EBUSY: "正被占用",
    errno.EMFILE: "打开的文件过多",
    errno.ENFILE: "系统打开的文件过多",
    errno.EIO: "输入输出错误",
}

_CAUSES: Final = {
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN), "no_route"),
    **dict.fromkeys((errno.EPERM, errno.EACCES), "connection_forbidden"),
    **dict.fromkeys((errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE), "connection_reset"),
    errno.ECONNREFUSED: "connection_refused",
    errno.ETIMEDOUT: "no_route",
}

#: Errors that asyncio and others raise without a number.
_CLASSES: Final = {
    ConnectionRefusedError: errno.ECONNREFUSED, ConnectionResetError: errno.ECONNRESET,
    ConnectionAbortedError: errno.ECONNABORTED, BrokenPipeError: errno.EPIPE, TimeoutError: errno.ETIMEDOUT,
    PermissionError: errno.EACCES,
}  # fmt: skip

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def words_of(error: BaseException) -> tuple[str, str]:
    """(zh, en) for what the system says of an error; its own words where there is no translation."""
    number = _errno(error)
    if number is None:
        return (str(error) or type(error).__name__,) * 2
    en = os.strerror(number)
    return _ZH.get(number, en), en


def network_cause(error: BaseException) -> str:
    """The name of the cause for an error that came up while connecting, or on a connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate_not_trusted"
    if isinstance(error, ssl.SSLError):
        return "tls_failed"
    if isinstance(error, socket.gaierror):
        return "name_unknown"
    number = _errno(error)
    return "connection_broken" if number is None else _CAUSES.get(number, "connection_broken")


def _errno(error: BaseException) -> int | None:
    """The number of an OSError. Where a name has several addresses, asyncio puts the numbers into its text."""
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError | socket.gaierror):
        return None
    if error.errno is not None:
        return error.errno
    for kind, number in _CLASSES.items():
        if isinstance(error, kind):
            return number
    numbers = {int(number) for number in _NUMBER.findall(str(error))}
    if errno.ECONNREFUSED in numbers:  # whoever refuses is there
        return errno.ECONNREFUSED
    return min(numbers, default=None)
