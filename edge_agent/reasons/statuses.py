"""What each OPC UA status means to who stands before it: exact where a person can act, by family
otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CERTIFICATE: Final = (
    "证书没有被接受（{name}），可能是服务器的，也可能是我方的：请在双方的信任列表中核对，"
    "并核对双方时钟。",
    "A certificate was not accepted ({name}), the server's or ours: compare the trust lists of "
    "both sides, and both"
    " clocks.",
)
_USER: Final = (
    "服务器拒绝了用户：请检查 user.name、user.password（或 user.certificate）及"
    "其在服务器上的权限。",
    "The server refused the user: check user.name and user.password (or user.certificate) and "
    "its rights there.",
)
_LOST_SESSION: Final = (
    "服务器已不认识我们的会话，正在重连：请查看服务器是否重启过，或会话数是否超限。",
    "The server does not know our session any more; it is made again. See whether the server was "
    "restarted, or whether"
    " it has too many sessions.",
)
_ADDRESS: Final = (
    "服务器不提供这个地址：请核对 endpoint 的主机、端口和路径。",
    "The server does not serve this address: check host, port and path of `endpoint`.",
)
_NODE: Final = (
    "服务器上没有这个变量：请核对 node 或 path，以及设备程序的版本。",
    "The server does not have this tag: compare `node` or `path` with the server, and the "
    "version of its program.",
)
_LICENCE: Final = (
    "服务器的授权（许可证）不足或已过期：请联系设备供应商。",
    "The server's licence has expired or does not suffice: ask the supplier of the device.",
)
_TOO_LARGE: Final = (
    "请求或应答超过服务器允许的大小：请把变量分到多台设备条目，或在服务器上调高上限。",
    "A request or answer is larger than the server allows: spread the tags over several device "
    "entries, or raise the"
    " server's limit.",
)
_TOO_MANY_ITEMS: Final = (
    "服务器的监视项太多：请减少变量、改用 mode: read，或在服务器上调高上限。",
    "The server has too many monitored items: read fewer tags, use mode: read, or raise its limit.",
)
_BUSY: Final = (
    "服务器过载，暂不应答：请减少其他客户端，或加长 every。",
    "The server is overloaded: close other clients, or lengthen `every`.",
)

#: Name of a status -> (zh, en).
STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "BadTimeout": (
        "设备在规定时间内没有应答：请检查设备电源、站号和接线。",
        "The device did not answer in time: check its power, unit number and wiring.",
    ),
    "BadNoCommunication": (
        "无法与设备建立连接：请检查网线、IP 地址和端口。",
        "No connection to the device: check the cable, the address and the port.",
    ),
    "BadNotFound": (
        "本机上没有配置的串口：请检查 USB 转换器是否插好，以及 url 中的路径；插好后会自动连接。",
        "The serial port of the configuration does not exist here: check that the adapter is "
        "plugged in, and the path"
        " in `url`. It is opened as soon as it is there.",
    ),
    "BadNotConnected": (
        "与设备的连接已断开，正在重连。",
        "The connection to the device is gone; it is being made again.",
    ),
    "BadCommunicationError": (
        "设备的应答不符合协议，已丢弃：请检查网关、站号冲突和线路干扰。",
        "The device's answers break the protocol and were discarded: check the gateway, double "
        "unit numbers and noise.",
    ),
    "BadConfigurationError": (
        "配置与设备不符（例如设备没有的地址）：请核对点表与设备手册，以及配置中的文件。",
        "The configuration does not fit the device, such as an address that it does not have: "
        "compare the tag list"
        " with the device's manual, and check the files that are named.",
    ),
    "BadDeviceFailure": (
        "设备报告自身故障：请查看设备面板。",
        "The device reports a failure of its own: look at its panel.",
    ),
    "BadWaitingForInitialData": (
        "还没有收到任何值：请核对地址，或等待设备首次上报。",
        "No value has come yet: compare the addresses with the device, or wait for its first "
        "report.",
    ),
    "BadSensorFailure": (
        "设备报告传感器故障，或标明该数值无效：请检查传感器及其接线。",
        "The device reports that its sensor failed, or marks the number as no value: check the "
        "sensor and its wiring.",
    ),
    "BadOutOfService": (
        "设备或变量已停用。",
        "The device or the tag is out of service.",
    ),
    "BadInternalError": (
        "程序内部错误，已记入日志，正在重试：请把日志发给维护者。",
        "A fault of the program itself, written to the log; it is tried again. Send the log to "
        "the maintainers.",
    ),
    "BadNodeIdUnknown": _NODE,
    "BadNoMatch": _NODE,
    "BadNodeIdInvalid": (
        "服务器认为 node 的写法无效：请核对命名空间和标识的类型（i=、s=、g=、b=）。",
        "The server takes `node` for malformed: check its namespace and the kind of its "
        "identifier (i=, s=, g=, b=).",
    ),
    "BadAttributeIdInvalid": (
        "该节点没有数值（是对象而不是变量）：请填写其下的变量。",
        "This node has no value (it is an object and no variable): give a variable below it.",
    ),
    "BadNotReadable": (
        "服务器不允许读取该变量：请在服务器上开放读取，或换一个变量。",
        "The server does not let this tag be read: have reading allowed there, or use another tag.",
    ),
    "BadNotSupported": (
        "服务器不支持这种读取方式：请改用 mode: read，或核对变量。",
        "The server does not support this way of reading: use mode: read, or check the tag.",
    ),
    "BadTypeMismatch": (
        "数值的类型与点表不同，换算会失真，已丢弃：请在变量上写明 type。",
        "The value has another type than the tag list says and would be distorted: write the "
        "tag's `type`.",
    ),
    "BadDecodingError": (
        "收到的数据无法解码：请核对变量的类型。",
        "What came cannot be decoded: check the type of the tag.",
    ),
    "BadOutOfRange": (
        "数值超出可表示的范围：请核对 type、scale 和 word_order。",
        "The number is beyond what can be: check `type`, `scale` and `word_order`.",
    ),
    "BadUserAccessDenied": _USER,
    "BadIdentityTokenInvalid": _USER,
    "BadIdentityTokenRejected": _USER,
    "BadUserSignatureInvalid": _USER,
    "BadSecurityChecksFailed": (
        "服务器的安全校验没有通过（多为不信任我方证书）：请在服务器上信任 own.der，"
        "并核对双方时钟。",
        "The server's security check failed, mostly because it does not trust our certificate: "
        "have own.der trusted"
        " there, and check both clocks.",
    ),
    "BadSecurityModeRejected": (
        "服务器不提供这种安全模式：请更正 security.mode，或在服务器上启用。",
        "The server does not offer this security mode: correct security.mode, or enable it at "
        "the server.",
    ),
    "BadSecurityPolicyRejected": (
        "服务器不提供这种安全策略：请更正 security.policy，或在服务器上启用。",
        "The server does not offer this security policy: correct security.policy, or enable it "
        "at the server.",
    ),
    "BadSecurityModeInsufficient": (
        "服务器要求更高的安全模式：请设置 security: {policy: Basic256Sha256}。",
        "The server demands a higher security mode: set security: {policy: Basic256Sha256}.",
    ),
    "BadTooManySessions": (
        "服务器的会话已满：请关闭其他客户端，或在服务器上调高会话数。",
        "The server has too many sessions: close other clients, or raise its limit.",
    ),
    "BadMaxConnectionsReached": (
        "服务器的连接已满：请关闭其他客户端，或在服务器上调高连接数。",
        "The server has too many connections: close other clients, or raise its limit.",
    ),
    "BadTooManySubscriptions": (
        "服务器的订阅太多：请改用 mode: read，或减少不同的周期。",
        "The server has too many subscriptions: use mode: read, or fewer different periods.",
    ),
    "BadTooManyMonitoredItems": _TOO_MANY_ITEMS,
    "BadNoSubscription": (
        "服务器已丢失我们的订阅，正在重建。",
        "The server has lost our subscriptions; they are made again.",
    ),
    "BadSessionIdInvalid": _LOST_SESSION,
    "BadSessionNotActivated": _LOST_SESSION,
    "BadSessionClosed": (
        "服务器关闭了会话，正在重连：请查看服务器的日志和会话超时。",
        "The server has closed the session; it is made again. See the server's log and its "
        "session time-out.",
    ),
    "BadSecureChannelClosed": (
        "服务器关闭了安全通道，正在重连：请查看服务器的日志。",
        "The server has closed the secure channel; it is made again. See the server's log.",
    ),
    "BadConnectionClosed": (
        "对方关闭了连接，正在重连：请查看服务器的日志和连接数限制。",
        "The peer has closed the connection; it is made again. See the server's log and its "
        "limit of connections.",
    ),
    "BadConnectionRejected": (
        "服务器拒绝连接：请检查其连接数限制和允许的地址。",
        "The server rejects the connection: check its limit of connections and the addresses it "
        "allows.",
    ),
    "BadShutdown": (
        "服务器正在关闭，启动后会自动重连。",
        "The server is shutting down; it is connected to again as soon as it is back.",
    ),
    "BadServerHalted": (
        "服务器已停止：请在设备上启动它。",
        "The server is halted: start it at the device.",
    ),
    "BadServerNotConnected": (
        "服务器与它后面的设备没有连接：请检查该设备。",
        "The server has no connection to the device behind it: check that device.",
    ),
    "BadTcpServerTooBusy": _BUSY,
    "BadServerTooBusy": _BUSY,
    "BadTcpEndpointUrlInvalid": _ADDRESS,
    "BadServerUriInvalid": _ADDRESS,
    "BadTcpMessageTooLarge": _TOO_LARGE,
    "BadRequestTooLarge": _TOO_LARGE,
    "BadResponseTooLarge": _TOO_LARGE,
    "BadEncodingLimitsExceeded": _TOO_LARGE,
    "BadLicenseExpired": _LICENCE,
    "BadLicenseLimitsExceeded": _LICENCE,
    "BadLicenseNotAvailable": _LICENCE,
    "UncertainEngineeringUnitsExceeded": (
        "数值超出配置的范围，已随标记保留：请核对量程 range 和 map。",
        "A value lies outside its configured range and is kept with that mark: check `range` and "
        "`map`.",
    ),
    "UncertainConfigurationError": (
        "不能确认应答的就是配置的设备，数值已随标记保留：请核对串口转换器是否对调、接线和站号。",
        "It is not certain that the device that answers is the configured one; values are kept "
        "with that mark: check"
        " whether serial adapters changed places, the wiring and the unit numbers.",
    ),
    "UncertainSubstituteValue": (
        "设备给出的是替代值，不是实测值。",
        "The device gives a substitute, not a measured value.",
    ),
    "UncertainLastUsableValue": (
        "设备给出的是最后一次可用的值，已停止更新。",
        "The device gives the last usable value; it is not updated any more.",
    ),
    "UncertainNoCommunicationLastUsableValue": (
        "服务器与数据源失去联系，给出的是最后一次可用的值：请检查服务器后面的设备。",
        "The server has lost its source and gives the last usable value: check the device behind "
        "the server.",
    ),
    "UncertainInitialValue": (
        "设备给出的是初始值，还没有实测值。",
        "The device gives an initial value; nothing has been measured yet.",
    ),
    "UncertainSensorNotAccurate": (
        "传感器报告精度不足：请校准传感器。",
        "The sensor reports that it is not accurate: calibrate it.",
    ),
    "UncertainSimulatedValue": (
        "设备给出的是仿真值，不是实测值：请在设备上关闭仿真。",
        "The device gives a simulated value, not a measured one: switch the simulation off there.",
    ),
}

#: Beginnings of names -> (zh, en) with the name quoted; the first that fits.
_FAMILIES: Final[tuple[tuple[tuple[str, ...], tuple[str, str]], ...]] = (
    (("BadCertificate", "BadNoValidCertificates", "BadApplicationSignature"), _CERTIFICATE),
    (
        ("BadIdentity", "BadUser"),
        (
            "服务器不接受这种登录（{name}）：请检查 user 配置，以及服务器允许的登录方式和权限。",
            "The server does not accept this login ({name}): check `user`, and which logins and "
            "rights the server has.",
        ),
    ),
    (
        ("BadSecur", "BadSession", "BadSequence", "BadNonce"),
        (
            "与服务器的会话出现问题（{name}），正在重连：若反复出现，请查看服务器的日志。",
            "The session with the server is disturbed ({name}) and made again: see the server's "
            "log if it comes back.",
        ),
    ),
    (
        ("BadTcp", "BadConnection", "BadDisconnect"),
        (
            "与服务器的连接出现问题（{name}），正在重连：请核对 endpoint，并查看服务器的日志。",
            "The connection to the server is disturbed ({name}) and made again: check `endpoint` "
            "and the server's log.",
        ),
    ),
    (
        ("BadTooMany", "BadOutOfMemory", "BadResource", "BadLimits"),
        (
            "超过服务器的上限（{name}）：请减少变量或客户端，或在服务器上调高上限。",
            "A limit of the server is exceeded ({name}): use fewer tags or clients, or raise the "
            "limit there.",
        ),
    ),
    (
        (
            "BadServiceUnsupported",
            "BadNotImplemented",
            "BadProtocolVersion",
            "BadInsufficientClientProfile",
        ),
        (
            "服务器不支持所用的功能（{name}）：请改用 mode: read，或升级服务器。",
            "The server lacks a function that is used ({name}): use mode: read, or update the "
            "server.",
        ),
    ),
    (
        ("BadNode", "BadIndexRange", "BadAttribute", "BadView"),
        (
            "服务器不接受该节点（{name}）：请核对 node 或 path。",
            "The server does not accept this node ({name}): check `node` or `path`.",
        ),
    ),
    (
        ("BadData", "BadNoData", "BadNoValue"),
        (
            "服务器没有可用的数据（{name}）：请检查服务器后面的设备。",
            "The server has no usable data ({name}): check the device behind the server.",
        ),
    ),
    (
        ("BadMonitor", "BadSubscription", "BadFilter", "BadDeadband"),
        (
            "服务器的订阅出现问题（{name}）：若反复出现，请改用 mode: read，或核对变量。",
            "A subscription is disturbed ({name}): use mode: read if it comes back, or check the "
            "tag.",
        ),
    ),
    (
        ("BadRequest", "BadOperation", "BadInvalidTimestamp"),
        (
            "服务器没有完成请求（{name}）：请查看服务器的日志和双方时钟；若因太慢，请加长 "
            "timeout。",
            "The server did not complete a request ({name}): see its log and both clocks; "
            "lengthen `timeout` if it is"
            " slow.",
        ),
    ),
    (
        ("Uncertain",),
        (
            "数值存疑（{name}），已随标记保留：请检查设备和传感器。",
            "The value is uncertain ({name}) and kept with that mark: check the device and its "
            "sensor.",
        ),
    ),
    (
        ("Bad",),
        (
            "设备没有给出可用的数值（{name}）：请查看设备或服务器的日志和手册。",
            "The device gave no usable value ({name}): see the log and the manual of the device "
            "or server.",
        ),
    ),
    (("Good",), ("数值可用（{name}）。", "The value is good ({name}).")),
)

_STRANGE: Final = (
    "设备给出了未知的状态 {name}：请查看设备或服务器的日志和手册。",
    "The device gives a status that is not known, {name}: see the log and the manual of the "
    "device or server.",
)


def family(name: str) -> tuple[str, str]:
    """(zh, en) for a status without a sentence of its own: that of its family, which quotes the
    name."""
    zh, en = next(
        (sentences for beginnings, sentences in _FAMILIES if name.startswith(beginnings)), _STRANGE
    )
    return zh.format(name=name), en.format(name=name)
