"""What brokers answer: every reason code of MQTT 5 and return code of 3.1.1, with its name and its
sentences.

A table by MQTT's own names: name -> (Chinese, English), the fact and what to check next. Where a
name means something else for a subscription or a single message than for the whole connection, it
has a sentence for that too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final[Mapping[int, str]] = {
    0x80: "Unspecified error",
    0x81: "Malformed packet",
    0x82: "Protocol error",
    0x83: "Implementation specific error",
    0x84: "Unsupported protocol version",
    0x85: "Client identifier not valid",
    0x86: "Bad user name or password",
    0x87: "Not authorized",
    0x88: "Server unavailable",
    0x89: "Server busy",
    0x8A: "Banned",
    0x8B: "Server shutting down",
    0x8C: "Bad authentication method",
    0x8D: "Keep alive timeout",
    0x8E: "Session taken over",
    0x8F: "Topic filter invalid",
    0x90: "Topic name invalid",
    0x91: "Packet identifier in use",
    0x92: "Packet identifier not found",
    0x93: "Receive maximum exceeded",
    0x94: "Topic alias invalid",
    0x95: "Packet too large",
    0x96: "Message rate too high",
    0x97: "Quota exceeded",
    0x98: "Administrative action",
    0x99: "Payload format invalid",
    0x9A: "Retain not supported",
    0x9B: "QoS not supported",
    0x9C: "Use another server",
    0x9D: "Server moved",
    0x9E: "Shared subscription not supported",
    0x9F: "Connection rate exceeded",
    0xA0: "Maximum connect time",
    0xA1: "Subscription identifiers not supported",
    0xA2: "Wildcard subscription not supported",
}
"""MQTT 5, table 2-6: the codes that say no."""

OF_3_1_1: Final[Mapping[int, int]] = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
"""CONNACK return code of MQTT 3.1.1 (table 3.1) -> the reason code of MQTT 5 that means the
same."""

RETAIN_NOT_SUPPORTED: Final = NAMES[0x9A]
TAKEN_OVER: Final = NAMES[0x8E]
NORMAL_END: Final = "Normal disconnection"

SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    NORMAL_END: (
        "消息服务器正常结束了连接，没有说明原因。正在自动重连；若反复出现，请查看其日志。",
        "The broker ended the connection in order and gave no reason. It is made again; if this "
        "repeats, see its log.",
    ),
    "Unspecified error": (
        "消息服务器报告了未说明的错误。请查看消息服务器的日志；"
        "集群请检查是否有法定多数（quorum）。",
        "The broker reports an error that it does not specify. See its log; of a cluster, check "
        "that it has a quorum.",
    ),
    "Malformed packet": (
        "消息服务器认为收到的报文格式有误。请检查 mqtt.version，以及中间的代理或负载均衡是否按 "
        "MQTT 转发。",
        "The broker finds a packet malformed. Check mqtt.version, and that any proxy on the way "
        "passes MQTT unchanged.",
    ),
    "Protocol error": (
        "消息服务器认为违反了协议。请检查 mqtt.version，并查看消息服务器的日志。",
        "The broker finds the protocol violated. Check mqtt.version and see the broker's log.",
    ),
    "Implementation specific error": (
        "消息服务器因自身的限制拒绝。请查看消息服务器的日志和配置。",
        "The broker refuses for a limit of its own. See its log and its configuration.",
    ),
    "Unsupported protocol version": (
        "消息服务器不支持这个 MQTT 版本。请把 mqtt.version 改为另一个（3.1.1 或 5）。",
        "The broker does not speak this version of MQTT. Set mqtt.version to the other one "
        "(3.1.1 or 5).",
    ),
    "Client identifier not valid": (
        "消息服务器不接受这个 client_id。请检查 mqtt.client_id（长度、字符，或该账号允许的名称）。",
        "The broker does not accept this client id. Check mqtt.client_id (length, characters, "
        "names the account may"
        " use).",
    ),
    "Bad user name or password": (
        "消息服务器拒绝登录：用户名或密码不对。请检查 mqtt.username 和 mqtt.password。",
        "The broker refused the login: the user name or the password is wrong. Check "
        "mqtt.username and mqtt.password.",
    ),
    "Not authorized": (
        "消息服务器拒绝登录：没有权限。请检查 mqtt.username、mqtt.password、mqtt.client_id "
        "和消息服务器的权限（ACL）。",
        "The broker refused the login: not authorized. Check mqtt.username, mqtt.password, "
        "mqtt.client_id and the"
        " broker's access rules.",
    ),
    "Server unavailable": (
        "消息服务器在运行，但暂时不能服务（正在启动，集群没有法定多数，或存储不可用）。"
        "请查看消息服务器的日志；"
        "正在自动重试。",
        "The broker runs and cannot serve now (it starts, its cluster has no quorum, or its "
        "storage is away). See its"
        " log; it is tried again.",
    ),
    "Server busy": (
        "消息服务器繁忙，请求稍后再来。正在自动重试；若持续，请检查其负载和连接数上限。",
        "The broker is busy and asks us to come later. It is tried again; if this lasts, check "
        "its load and its limit"
        " of connections.",
    ),
    "Banned": (
        "消息服务器封禁了本客户端。请管理员解除封禁，并检查 mqtt.client_id 和 mqtt.username。",
        "The broker has banned this client. Ask its administrator; check mqtt.client_id and "
        "mqtt.username.",
    ),
    "Server shutting down": (
        "消息服务器正在关闭或重启。正在自动重试，数据在本机排队。",
        "The broker is shutting down or restarting. It is tried again; values queue up here.",
    ),
    "Bad authentication method": (
        "消息服务器要求另一种认证方式。本程序只用用户名密码或客户端证书：请检查 mqtt.username、"
        "mqtt.cert"
        " 和其监听设置。",
        "The broker wants another way of authentication. This program uses a user name with "
        "password, or a client"
        " certificate: check mqtt.username, mqtt.cert and the broker's listener.",
    ),
    "Keep alive timeout": (
        "消息服务器在保活时间内没有收到本机的报文。请检查网络是否丢包、本机是否停顿，或加大 "
        "mqtt.keepalive。",
        "The broker heard nothing from us within the keep-alive time. Check the network for loss "
        "and this machine for"
        " pauses, or raise mqtt.keepalive.",
    ),
    "Session taken over": (
        "另一个客户端用同样的 client_id 登录，顶替了本连接。请检查 mqtt.client_id "
        "是否重复（例如复制的配置）。",
        "Another client logged in with the same client id and took this connection over. Check "
        "that mqtt.client_id is"
        " used once only (a copied configuration?).",
    ),
    "Topic filter invalid": (
        "消息服务器不接受订阅的主题。请检查 mqtt.topic_prefix 和其主题规则。",
        "The broker does not accept the topic of a subscription. Check mqtt.topic_prefix and its "
        "rules for topics.",
    ),
    "Topic name invalid": (
        "消息服务器不接受这个主题名。请检查 mqtt.topic_prefix、agent.enterprise、agent.site "
        "和其主题规则。",
        "The broker does not accept the topic's name. Check mqtt.topic_prefix, agent.enterprise, "
        "agent.site and its"
        " rules"
        " for topics.",
    ),
    "Packet identifier in use": (
        "消息服务器认为报文标识符已被占用。会自动重发；若反复出现，请检查 mqtt.client_id "
        "是否重复。",
        "The broker takes a packet identifier for one in use. The message is sent again; if this "
        "repeats, check that"
        " mqtt.client_id is used once only.",
    ),
    "Packet identifier not found": (
        "消息服务器不认识某个报文标识符。会自动重发；若反复出现，请查看消息服务器的日志。",
        "The broker does not know a packet identifier. The message is sent again; if this "
        "repeats, see the broker's"
        " log.",
    ),
    "Receive maximum exceeded": (
        "未确认的消息超过了消息服务器的上限。请减小 mqtt.window。",
        "More messages are unacknowledged than the broker accepts. Lower mqtt.window.",
    ),
    "Topic alias invalid": (
        "消息服务器拒绝主题别名，而本程序不使用别名。请检查中间的代理，并查看消息服务器的日志。",
        "The broker refuses a topic alias, and this program uses none. Check any proxy on the "
        "way and see its log.",
    ),
    "Packet too large": (
        "报文超过消息服务器的大小上限。请调大其上限（如 max_packet_size），"
        "或减少每台设备一个周期的变量数。",
        "A packet is larger than the broker accepts. Raise its limit (such as max_packet_size), "
        "or give the device"
        " fewer"
        " tags of one period.",
    ),
    "Message rate too high": (
        "发送速率超过消息服务器的上限。请调大其上限，或设置 mqtt.drain、加长 every。",
        "Messages come faster than the broker accepts. Raise its limit, set mqtt.drain, or "
        "lengthen `every`.",
    ),
    "Quota exceeded": (
        "超出消息服务器的配额（连接数、消息数或存储空间）。请检查其配额、磁盘和账号限制。",
        "A quota of the broker is exceeded (connections, messages or storage). Check its quotas, "
        "its disk and the"
        " account's limits.",
    ),
    "Administrative action": (
        "管理员断开了本连接。请询问消息服务器的管理员；正在自动重连。",
        "An administrator ended the connection. Ask the broker's administrator; it is made again.",
    ),
    "Payload format invalid": (
        "消息服务器不接受消息的内容格式。请检查其内容校验（schema）规则。",
        "The broker does not accept the format of a message. Check its rules for payloads "
        "(schema validation).",
    ),
    "Retain not supported": (
        "消息服务器不保存保留消息（retained）。请写 mqtt.retain: false，或在消息服务器上启用（如 "
        "retain_available"
        " true）。",
        "The broker keeps no retained messages. Write `mqtt.retain: false`, or enable them there "
        "(such as"
        " `retain_available true`).",
    ),
    "QoS not supported": (
        "消息服务器不支持 QoS 1，无法保证送达。请在其上启用（如 max_qos 1），"
        "或换用其他消息服务器（mqtt.url）。",
        "The broker does not support QoS 1, without which delivery is not assured. Enable it "
        "there (such as `max_qos"
        " 1`),"
        " or use another broker (mqtt.url).",
    ),
    "Use another server": (
        "消息服务器要求暂时改用另一台。请检查 mqtt.url。",
        "The broker asks us to use another server for now. Check mqtt.url.",
    ),
    "Server moved": (
        "消息服务器已迁往别处。请修改 mqtt.url。",
        "The broker has moved. Change mqtt.url.",
    ),
    "Shared subscription not supported": (
        "消息服务器不支持共享订阅，而本程序不使用它。请查看消息服务器的日志。",
        "The broker does not support shared subscriptions, and this program uses none. See its "
        "log.",
    ),
    "Connection rate exceeded": (
        "连接过于频繁，消息服务器暂时拒绝。会放慢重试；请检查 mqtt.client_id 是否重复，"
        "或调大其上限。",
        "Connections come too often and the broker refuses for now. It is tried more slowly; "
        "check that"
        " mqtt.client_id is"
        " used once only, or raise its limit.",
    ),
    "Maximum connect time": (
        "达到消息服务器允许的最长连接时间。正在自动重连，不必处理。",
        "The broker's longest time for one connection is over. It is made again; nothing has to "
        "be done.",
    ),
    "Subscription identifiers not supported": (
        "消息服务器不支持订阅标识符，而本程序不使用它。请查看消息服务器的日志。",
        "The broker does not support subscription identifiers, and this program uses none. See "
        "its log.",
    ),
    "Wildcard subscription not supported": (
        "消息服务器不支持通配符订阅，入库服务需要它。请在其上启用，"
        "或换用其他消息服务器（mqtt.url）。",
        "The broker does not support wildcard subscriptions, which the store service needs. "
        "Enable them there, or use"
        " another broker (mqtt.url).",
    ),
}

_PUBLISHING: Final[Mapping[str, tuple[str, str]]] = {
    "Not authorized": (
        "没有写权限，请检查消息服务器的权限（ACL）",
        "no permission to publish: check the broker's access rules",
    ),
    "Quota exceeded": (
        "超出配额，请检查其配额和磁盘",
        "a quota is exceeded: check the broker's quotas and its disk",
    ),
    "Topic name invalid": (
        "主题名不合法，请检查 mqtt.topic_prefix 和其主题规则",
        "the topic's name is not accepted: check mqtt.topic_prefix and the broker's rules for "
        "topics",
    ),
    "Payload format invalid": (
        "内容格式不合法，请检查其内容校验规则",
        "the payload's format is not accepted: check the broker's rules for payloads",
    ),
    "Packet identifier in use": (
        "报文标识符已被占用，请检查 mqtt.client_id 是否重复",
        "a packet identifier in use: check that mqtt.client_id is used once only",
    ),
    "Implementation specific error": (
        "服务器自身的限制，请查看其日志",
        "a limit of the broker's own: see its log",
    ),
    "Unspecified error": (
        "未说明的错误，请查看其日志",
        "an error that the broker does not specify: see its log",
    ),
}
"""Parts of the sentence about a message that is not taken (`broker_refuses`)."""

_ENDING: Final[Mapping[str, tuple[str, str]]] = {
    "Not authorized": (
        "消息服务器因没有权限而断开。请检查 mqtt.username、mqtt.topic_prefix "
        "和消息服务器的权限（ACL）。",
        "The broker ended the connection because something is not allowed. Check mqtt.username, "
        "mqtt.topic_prefix"
        " and the"
        " broker's access rules.",
    ),
}

_SUBSCRIBING: Final[Mapping[str, tuple[str, str]]] = {
    "Not authorized": (
        "消息服务器不允许订阅。请检查 mqtt.username 和消息服务器的权限（ACL）。",
        "The broker does not allow the subscription. Check mqtt.username and the broker's access "
        "rules.",
    ),
    "Unspecified error": (
        "消息服务器拒绝订阅，没有说明原因。请检查 mqtt.username 和消息服务器的权限（ACL）。",
        "The broker refuses the subscription and does not say why. Check mqtt.username and the "
        "broker's access rules.",
    ),
}

_BY_A_PERSON: Final = frozenset(
    {
        "Malformed packet",
        "Protocol error",
        "Unsupported protocol version",
        "Client identifier not valid",
        "Bad user name or password",
        "Not authorized",
        "Banned",
        "Bad authentication method",
        "Topic name invalid",
        "Packet too large",
        "Quota exceeded",
        "Retain not supported",
        "QoS not supported",
        "Use another server",
        "Server moved",
        "Connection rate exceeded",
    }
)
_CODES: Final = {
    "Bad user name or password": "mqtt-login",
    "Not authorized": "mqtt-login",
    "Unspecified error": "mqtt-unspecified",
}


def name_of(code: int) -> str:
    """MQTT's name for a code that says no; its number for one that MQTT does not know."""
    return NAMES.get(code, f"0x{code:02X}")


def is_permanent(name: str) -> bool:
    """Whether trying again soon is of no use."""
    return name in _BY_A_PERSON


def finding_code(name: str) -> str:
    """`Session taken over` -> `mqtt-session-taken-over`: stable, machine-readable."""
    return _CODES.get(name) or "mqtt-" + name.lower().replace(" ", "-")


def of_end(name: str) -> tuple[str, str]:
    """(zh, en) when the broker ends a connection that it had accepted."""
    return _ENDING.get(name) or of_connection(name)


def of_connection(name: str) -> tuple[str, str]:
    """(zh, en) when the broker answers CONNECT so."""
    return SENTENCES.get(name) or (
        f"消息服务器给出了未知的原因码（{name}）。请查看消息服务器的日志，并检查 mqtt.version。",
        f"The broker gives an unknown reason code ({name}). See its log and check mqtt.version.",
    )


def of_subscription(name: str) -> tuple[str, str]:
    """(zh, en) when the broker answers SUBSCRIBE so."""
    return _SUBSCRIBING.get(name) or of_connection(name)


def of_message(name: str) -> tuple[str, str]:
    """(zh, en) when the broker answers PUBLISH so: parts of a sentence, with MQTT's name in
    brackets."""
    zh, en = _PUBLISHING.get(name) or of_connection(name)
    return f"{zh.rstrip('。')}（{name}）", f"{en.rstrip('.')} ({name})"
