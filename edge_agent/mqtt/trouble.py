"""Why there is no connection to the broker, in one plain sentence each; and the TLS settings."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

from edge_agent.config.models import Mqtt
from edge_agent.errors import Finding, FindingsError


class LinkError(Exception):
    """A connection could not be made or did not last. `slow`: only a person can mend it."""

    def __init__(self, finding: Finding, *, slow: bool = False) -> None:
        super().__init__(finding.en)
        self.finding = finding
        self.slow = slow


def trouble(code: str, zh: str, en: str, where: str, *, slow: bool = False) -> LinkError:
    """A LinkError with its finding."""
    return LinkError(Finding(code, where, zh, en), slow=slow)


def explain(error: BaseException, url: str) -> LinkError:
    """The sentence for what went wrong between here and the broker's CONNACK."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "") or str(error)
        return trouble(
            "mqtt-certificate",
            f"不信任消息服务器的证书（{reason}）。请检查 mqtt.ca、mqtt.url 中的主机名和本机时钟。",
            f"The broker's certificate is not trusted ({reason}). Check mqtt.ca, the host in mqtt.url and the clock.",
            url,
            slow=True,
        )
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", "") or str(error)
        return trouble(
            "mqtt-tls",
            f"TLS 握手失败（{reason}）。请检查端口是否为 TLS 端口，以及 mqtt.cert 和 mqtt.key。",
            f"The TLS handshake failed ({reason}). Check that the port speaks TLS, and mqtt.cert and mqtt.key.",
            url,
            slow=True,
        )
    return _explain_network(error, url)


def _explain_network(error: BaseException, url: str) -> LinkError:
    if isinstance(error, socket.gaierror):
        return trouble(
            "mqtt-name",
            "找不到该主机名。请检查 mqtt.url 和名称解析（DNS）。",
            "The host name is not known. Check mqtt.url and the name service (DNS).",
            url,
        )
    if isinstance(error, ConnectionRefusedError):
        return trouble(
            "mqtt-refused",
            "该端口上没有消息服务器在监听。请启动消息服务器，或检查 mqtt.url 的端口。",
            "No broker listens on this port. Start it, or check the port in mqtt.url.",
            url,
        )
    if isinstance(error, TimeoutError):
        return trouble(
            "mqtt-timeout",
            "消息服务器没有在限定时间内应答。请检查网络、防火墙和消息服务器的状态。",
            "The broker did not answer in time. Check the network, the firewall and the broker's state.",
            url,
        )
    return trouble(
        "mqtt-lost",
        f"与消息服务器的连接中断（{error}）。正在自动重试。",
        f"The connection to the broker broke ({error}). It is tried again.",
        url,
    )


def closed_early(url: str) -> LinkError:
    """The broker hung up without an answer, as brokers do that miss a certificate or dislike the client."""
    return trouble(
        "mqtt-closed-early",
        "消息服务器在接受连接之前就断开了。请检查 mqtt.cert、mqtt.key、mqtt.username、mqtt.version，并查看其日志。",
        "The broker hung up before it accepted us. Check mqtt.cert, mqtt.key, mqtt.username, mqtt.version and its log.",
        url,
    )


def silent(url: str) -> LinkError:
    """The connection seems to be there, and nothing comes."""
    return trouble(
        "mqtt-silent",
        "消息服务器不再应答（连接看似仍在）。已断开并重新连接。",
        "The broker stopped answering although the connection seemed alive. It is dropped and made anew.",
        url,
    )


def refused(reason: str, url: str) -> LinkError:
    """The broker answered, and said no."""
    text = reason.lower()
    if "password" in text or "authori" in text:
        return trouble(
            "mqtt-login",
            f"消息服务器拒绝登录（{reason}）。请检查 mqtt.username、mqtt.password 和消息服务器的权限。",
            f"The broker refused the login ({reason}). Check mqtt.username, mqtt.password and its permissions.",
            url,
            slow=True,
        )
    return trouble(
        "mqtt-refused-connect",
        f"消息服务器拒绝连接（{reason}）。请检查 mqtt.version 和 mqtt.client_id。",
        f"The broker refused the connection ({reason}). Check mqtt.version and mqtt.client_id.",
        url,
        slow=True,
    )


def tls_context(config: Mqtt) -> ssl.SSLContext | None:
    """TLS 1.2 or later with the host name checked; None for `mqtt://`. FindingsError for files that cannot be used."""
    if not config.url.startswith("mqtts://"):
        return None
    findings = [_unreadable(key, path) for key in ("ca", "cert", "key") if (path := getattr(config, key)) is not None]
    missing = [finding for finding in findings if finding is not None]
    if missing:
        raise FindingsError(missing)
    try:
        context = ssl.create_default_context(cafile=None if config.ca is None else str(config.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.cert is not None:
            context.load_cert_chain(config.cert, config.key)
    except (ssl.SSLError, OSError) as error:
        raise FindingsError.one(
            "mqtt-tls-file",
            f"mqtt.ca、mqtt.cert 或 mqtt.key 不是可用的 PEM 文件（{error}）。",
            f"mqtt.ca, mqtt.cert or mqtt.key is not a usable PEM file ({error}).",
        ) from error
    return context


def _unreadable(key: str, path: Path) -> Finding | None:
    try:
        path.open("rb").close()
    except OSError as error:
        return Finding(
            "mqtt-tls-file",
            f"mqtt.{key}",
            f"无法读取文件 {path}（{error.strerror}）。",
            f"The file {path} cannot be read ({error.strerror}).",
        )
    return None


_SAID: Final = {
    "Unspecified error": "未说明的错误",
    "Implementation specific error": "服务器自身的限制",
    "Not authorized": "没有写权限",
    "Topic name invalid": "主题名不合法",
    "Packet identifier in use": "报文标识符已被占用",
    "Quota exceeded": "超出配额",
    "Payload format invalid": "内容格式不合法",
}
"""The words of MQTT 5 for the reason codes of PUBACK."""


def not_taken(topic: str, words: str) -> Finding:
    """The broker refuses a message to this topic, in these words of MQTT's."""
    zh = f"{_SAID[words]}（{words}）" if words in _SAID else words
    return Finding("not-taken", topic, zh, words)


def too_large(topic: str, size: int, largest: int) -> Finding:
    """A message has more bytes than the broker takes."""
    zh = f"消息有 {size} 字节，超过消息服务器的上限（{largest}）"
    return Finding("too-large", topic, zh, f"{size} bytes are more than the broker takes ({largest})")


def hangs_up(topic: str) -> Finding:
    """The broker hangs up whenever a message to this topic comes."""
    zh = "消息服务器一收到就断开连接（消息太大？没有权限？）"
    return Finding("hangs-up", topic, zh, "the broker hangs up at it (size? permissions?)")
