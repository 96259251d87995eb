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
    errno.EEXIST: "文件已存在",
    errno.ENAMETOOLONG: "文件名过长",
    errno.ELOOP: "符号链接循环",
    errno.EDQUOT: "超出磁盘配额",
    errno.EFBIG: "文件过大",
    errno.EADDRINUSE: "地址已被占用",
    errno.EADDRNOTAVAIL: "本机没有这个地址",
    errno.ENOTCONN: "没有连接",
    errno.ESHUTDOWN: "连接已关闭",
    errno.EINVAL: "参数无效",
}

#: Why a certificate is not accepted (`X509_V_ERR_*` of OpenSSL), in Chinese; OpenSSL has the
#: English words.
_CERTIFICATES_ZH: Final = {
    2: "找不到签发者的证书",
    9: "证书尚未生效",
    10: "证书已过期",
    18: "自签名证书，不在信任列表中",
    19: "证书链中有自签名证书，不在信任列表中",
    20: "找不到签发者的证书",
    21: "无法验证第一张证书",
    23: "证书已被吊销",
    24: "签发者的证书无效",
    26: "证书的用途不符",
    62: "证书中没有这个主机名",
    64: "证书中没有这个 IP 地址",
    66: "证书的密钥太弱",
    68: "证书的签名算法太弱",
}

_CAUSES: Final = {
    **dict.fromkeys(
        (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN), "no_route"
    ),
    **dict.fromkeys((errno.EPERM, errno.EACCES), "connection_forbidden"),
    **dict.fromkeys((errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE), "connection_reset"),
    errno.ECONNREFUSED: "connection_refused",
    errno.ETIMEDOUT: "no_route",
}

#: Errors that asyncio and others raise without a number.
_CLASSES: Final = {
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    ConnectionAbortedError: errno.ECONNABORTED,
    BrokenPipeError: errno.EPIPE,
    TimeoutError: errno.ETIMEDOUT,
    PermissionError: errno.EACCES,
}

_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def words_of(error: BaseException) -> tuple[str, str]:
    """(zh, en) for what the system says of an error; its own words where there is no
    translation."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # Only those that OpenSSL raised have both; Python raises the class for a wrong host name
        # too.
        said = getattr(error, "verify_message", "") or str(error)
        return _CERTIFICATES_ZH.get(getattr(error, "verify_code", 0), said), said
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
    """The number of an OSError. Where a name has several addresses, asyncio puts the numbers into
    its text."""
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
