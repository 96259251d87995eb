"""Why there is no connection to the broker, in one plain sentence each; and the TLS settings."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.config.models import Mqtt
from edge_agent.errors import Finding, FindingsError
from edge_agent.mqtt import reasons
from edge_agent.reasons import words_of


class LinkError(Exception):
    """A connection could not be made or did not last.

    `slow`: only a person can correct it. `reason`: MQTT's name for what the broker answered, ""
    when it gave none.
    """

    def __init__(self, finding: Finding, *, slow: bool = False, reason: str = "") -> None:
        super().__init__(finding.en)
        self.finding = finding
        self.slow = slow
        self.reason = reason


class HandshakeError(ConnectionError):
    """The other side ended the connection in the middle of the TLS handshake."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of an attempt to connect, beside how it failed."""

    url: str
    five: bool
    retained_will: bool
    accepted_before: bool
    """The broker took these same settings before, so that they are not what it dislikes now."""

    @property
    def tls(self) -> bool:
        return self.url.startswith("mqtts://")


def trouble(code: str, zh: str, en: str, where: str, *, slow: bool = False) -> LinkError:
    """A LinkError with its finding."""
    return LinkError(Finding(code, where, zh, en), slow=slow)


def explain(error: BaseException, url: str) -> LinkError:
    """The sentence for what went wrong between here and the broker."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why_zh, why_en = words_of(error)
        return trouble(
            "mqtt-certificate",
            f"不信任消息服务器的证书（{why_zh}）。请检查 mqtt.ca、mqtt.url 中的主机名和本机时钟。",
            f"The broker's certificate is not trusted ({why_en}). Check mqtt.ca, the host in "
            "mqtt.url and the clock.",
            url,
            slow=True,
        )
    if isinstance(error, ssl.SSLError | HandshakeError):
        return _explain_tls(error, url)
    return _explain_network(error, url)


def _explain_tls(error: ssl.SSLError | HandshakeError, url: str) -> LinkError:
    reason = getattr(error, "reason", "") or str(error)
    zh, en = (reason, reason) if isinstance(error, ssl.SSLError) else words_of(error)
    if _is_plain(error, reason):
        return trouble(
            "mqtt-tls",
            f"TLS 握手失败（{zh}）：该端口多半不是 TLS 端口。请检查 mqtt.url 的端口（TLS 通常为 "
            "8883），"
            "或把 mqtts:// 改为 mqtt://。",
            f"The TLS handshake failed ({en}): most likely the port does not speak TLS. Check "
            "the port in mqtt.url"
            " (8883 is usual for TLS), or write mqtt:// instead of mqtts://.",
            url,
            slow=True,
        )
    if any(word in reason.upper() for word in _ABOUT_OUR_CERTIFICATE):
        return trouble(
            "mqtt-client-certificate",
            f"消息服务器要求客户端证书，或不接受本机的证书（{reason}）。请检查 mqtt.cert、"
            "mqtt.key，"
            "以及签发机构是否被其信任。",
            f"The broker wants a client certificate or does not accept ours ({reason}). Check "
            "mqtt.cert, mqtt.key and"
            " that it trusts who signed it.",
            url,
            slow=True,
        )
    return trouble(
        "mqtt-tls",
        f"TLS 握手失败（{zh}）。请检查端口是否为 TLS 端口，以及 mqtt.cert 和 mqtt.key。",
        f"The TLS handshake failed ({en}). Check that the port speaks TLS, and mqtt.cert and "
        "mqtt.key.",
        url,
        slow=True,
    )


def _is_plain(error: ssl.SSLError | HandshakeError, reason: str) -> bool:
    """Whether the other side seems not to know TLS at all: it hung up at our hello, or answered in
    the clear."""
    return (
        isinstance(error, HandshakeError | ssl.SSLEOFError)
        or "WRONG_VERSION_NUMBER" in reason.upper()
    )


_ABOUT_OUR_CERTIFICATE: Final = (
    "CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
    "ALERT_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERT",
    "ALERT_ACCESS_DENIED",
)
"""In the names of TLS alerts that the broker sends about the client's certificate."""


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
            "The broker did not answer in time. Check the network, the firewall and the broker's "
            "state.",
            url,
        )
    why_zh, why_en = words_of(error)
    return trouble(
        "mqtt-lost",
        f"与消息服务器的连接中断（{why_zh}）。正在自动重试。",
        f"The connection to the broker broke ({why_en}). It is tried again.",
        url,
    )


def no_answer(attempt: Attempt, waited: float) -> LinkError:
    """The port took the connection, and nothing answered CONNECT."""
    before_zh, before_en = _accepted_before(attempt)
    return trouble(
        "mqtt-timeout",
        f"端口接受了连接，但 {waited:.0f} 秒内没有应答。{before_zh}请检查消息服务器是否卡住、"
        "集群是否有法定多数（quorum，"
        "如 NATS JetStream）、存储是否可用，以及 mqtt.url 的端口是否为 MQTT 端口。",
        f"The port took the connection and nothing answered within {waited:.0f} s. "
        f"{before_en}Check whether the broker"
        " hangs, whether its cluster has a quorum (NATS JetStream) and its storage works, and "
        "that the port in"
        " mqtt.url is"
        " its MQTT port.",
        attempt.url,
    )


HESITATED_S: Final = 0.5
"""A broker that hangs up later than this had something to wait for: who dislikes a client says so
at once."""


def closed_early(attempt: Attempt, waited: float) -> LinkError:
    """The broker hung up without an answer; `waited`: seconds after CONNECT."""
    before_zh, before_en = _accepted_before(attempt)
    if waited >= HESITATED_S:
        return trouble(
            "mqtt-not-ready",
            f"消息服务器收到连接请求后等了 {waited:.1f} 秒，没有应答就断开：它此时不能服务。"
            f"{before_zh}请检查集群是否有法定多数"
            "（quorum，如 NATS JetStream 的多数节点在运行）、存储是否可用，并查看其日志。"
            "证书和密码多半无关。",
            f"The broker took {waited:.1f} s over the connection and hung up without an answer: "
            "it cannot serve now."
            f" {before_en}Check that its cluster has a quorum (the majority of a NATS JetStream "
            "cluster runs) and"
            " that its"
            " storage works, and see its log. Certificate and password have most likely nothing "
            "to do with it.",
            attempt.url,
        )
    causes_zh, causes_en = _causes(attempt)
    return trouble(
        "mqtt-closed-early",
        f"消息服务器在接受连接之前就断开了，没有说明原因。{before_zh}可能的原因："
        f"{'；'.join(causes_zh)}。"
        "请查看其日志。",
        f"The broker hung up before it accepted us and gave no reason. {before_en}Possible causes:"
        f" {'; '.join(causes_en)}. See its log.",
        attempt.url,
    )


def _accepted_before(attempt: Attempt) -> tuple[str, str]:
    if not attempt.accepted_before:
        return "", ""
    return (
        "同样的设置此前曾被接受，问题多半在消息服务器一侧。",
        "It accepted the same settings before, so look at the broker first. ",
    )


def _causes(attempt: Attempt) -> tuple[list[str], list[str]]:
    """Why brokers hang up without a word, the most likely first."""
    broker = (
        "集群没有法定多数或存储不可用（如 NATS JetStream）",
        "its cluster has no quorum or its storage is away (NATS JetStream)",
    )
    if attempt.accepted_before:
        changed = (
            "其账号、权限、TLS 或保留消息（mqtt.retain）的设置被改过",
            "its accounts, permissions, TLS or retained messages (mqtt.retain) were set otherwise",
        )
        return [broker[0], changed[0]], [broker[1], changed[1]]
    ours = []
    if attempt.tls:
        ours.append(
            (
                "它要求客户端证书（mqtt.cert、mqtt.key）",
                "it wants a client certificate (mqtt.cert, mqtt.key)",
            )
        )
    else:
        ours.append(
            (
                "该端口需要 TLS（mqtt.url 写 mqtts://）",
                "the port wants TLS (write mqtts:// in mqtt.url)",
            )
        )
    ours.append(
        ("用户名或密码（mqtt.username、mqtt.password）", "the login (mqtt.username, mqtt.password)")
    )
    if attempt.retained_will:
        hint = (
            ("", "")
            if attempt.five
            else ("；mqtt.version: 5 会说明原因", ", `mqtt.version: 5` would say so")
        )
        ours.append((
            f"它不保存保留消息，而遗嘱是保留消息（mqtt.retain: false{hint[0]}）",
            "it keeps no retained messages, and our last will is one (`mqtt.retain: "
            f"false`{hint[1]})",
        ))  # fmt: skip
    ours.append(
        (
            "MQTT 版本（mqtt.version）或 mqtt.client_id",
            "the version (mqtt.version) or mqtt.client_id",
        )
    )
    causes = [*ours, broker]
    return [zh for zh, _ in causes], [en for _, en in causes]


_FOREIGN: Final = (
    (b"HTTP/", "HTTP（网页或 WebSocket）", "HTTP (web pages or WebSocket)"),
    (
        b"INFO {",
        "NATS 客户端协议，MQTT 在另一个端口（mqtt.listen）",
        "the NATS client protocol; MQTT has another port there",
    ),
    (b"SSH-", "SSH", "SSH"),
    (b"AMQP", "AMQP", "AMQP"),
)


def not_mqtt(url: str, data: bytes) -> LinkError:
    """What listens there speaks something else; `data`: its first bytes."""
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
        return trouble(
            "mqtt-port-speaks-tls",
            "该端口使用 TLS。请把 mqtt.url 写成 mqtts://，并检查 mqtt.ca。",
            "The port speaks TLS. Write mqtts:// in mqtt.url, and check mqtt.ca.",
            url,
            slow=True,
        )
    zh = "另一种协议"
    en = "another protocol"
    for begin, name_zh, name_en in _FOREIGN:
        if data.startswith(begin):
            zh = name_zh
            en = name_en
    return trouble(
        "mqtt-not-mqtt",
        f"该端口不是 MQTT，而是{zh}。请检查 mqtt.url 的端口。",
        f"The port does not speak MQTT but {en}. Check the port in mqtt.url.",
        url,
        slow=True,
    )


def closed(url: str) -> LinkError:
    """The broker hung up after it had accepted us, without a reason."""
    return trouble(
        "mqtt-lost",
        "消息服务器断开了连接，没有说明原因。正在自动重试。",
        "The broker closed the connection and gave no reason. It is made again.",
        url,
    )


def silent(url: str) -> LinkError:
    """The connection seems to be there, and nothing comes."""
    return trouble(
        "mqtt-silent",
        "消息服务器不再应答（连接看似仍在）。已断开并重新连接。",
        "The broker stopped answering although the connection seemed alive. It is dropped and "
        "made anew.",
        url,
    )


def unknown_acks(url: str, count: int) -> Finding:
    """The broker acknowledges what was not sent: its answers say nothing about what was."""
    return Finding(
        "mqtt-unknown-acks",
        url,
        f"消息服务器确认了从未发送过的报文标识符（{count} 次）：它或中间的代理有错误。"
        "数据在本机保留并会重发；"
        "请查看其日志、升级或更换（mqtt.url），并考虑 mqtt.confirm: store。",
        f"The broker acknowledges packet identifiers that were never sent ({count} times): it, "
        "or a proxy on the"
        " way, is"
        " faulty. Values are kept here and sent again; see its log, update or replace it "
        "(mqtt.url), and consider"
        " mqtt.confirm: store.",
    )


def refused(name: str, url: str, said: str = "") -> LinkError:
    """The broker answered CONNECT and said no. `name`: MQTT's; `said`: what the broker adds in
    words of its own."""
    return _answered(name, reasons.of_connection(name), url, said)


def ended(name: str, url: str, said: str = "") -> LinkError:
    """The broker ended a connection that it had accepted, and said why (MQTT 5 DISCONNECT)."""
    return _answered(name, reasons.of_end(name), url, said)


def _answered(name: str, sentences: tuple[str, str], url: str, said: str) -> LinkError:
    zh, en = sentences
    quoted = f"{name}: {said}" if said else name
    finding = Finding(reasons.finding_code(name), url, f"{zh}（{quoted}）", f"{en} ({quoted})")
    return LinkError(finding, slow=reasons.is_permanent(name), reason=name)


def tls_context(config: Mqtt) -> ssl.SSLContext | None:
    """TLS 1.2 or later with the host name checked; None for `mqtt://`. FindingsError for files that
    cannot be used."""
    if not config.url.startswith("mqtts://"):
        return None
    findings = [
        _unreadable(key, path)
        for key in ("ca", "cert", "key")
        if (path := getattr(config, key)) is not None
    ]
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
        why_zh, why_en = words_of(error)
        return Finding(
            "mqtt-tls-file",
            f"mqtt.{key}",
            f"无法读取文件 {path}（{why_zh}）。请检查路径，并让运行本程序的用户可以读取。",
            f"The file {path} cannot be read ({why_en}). Check the path, and let the user of "
            "this program read it.",
        )
    return None


def publish_refused(topic: str, name: str) -> Finding:
    """The broker refuses a message to this topic; `name`: MQTT's name for the reason."""
    zh, en = reasons.of_message(name)
    return Finding("not-taken", topic, zh, en)


def too_large(topic: str, size: int, largest: int) -> Finding:
    """A message has more bytes than the broker takes."""
    zh = f"消息有 {size} 字节，超过消息服务器的上限（{largest}）"
    return Finding(
        "too-large", topic, zh, f"{size} bytes are more than the broker takes ({largest})"
    )


def hangs_up(topic: str) -> Finding:
    """The broker hangs up whenever a message to this topic comes."""
    zh = "消息服务器一收到就断开连接（消息太大？没有权限？不支持保留消息，即 mqtt.retain: false？）"
    return Finding(
        "hangs-up",
        topic,
        zh,
        "the broker hangs up at it (size? permissions? no retained messages?)",
    )
