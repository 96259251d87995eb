"""Causes that are more than a status: what a connector, or whoever opens a file or a connection,
knows exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NO: Final = "BadNoCommunication"
_WRONG: Final = "BadCommunicationError"
_REFUSED: Final = "BadConfigurationError"
_FAILED: Final = "BadDeviceFailure"

#: Connections and files, of any protocol. Facts: `where` (address), `seconds`, `path`, `why` (the
#: system's own words).
_NETWORK: Final[Mapping[str, tuple[str, str, str]]] = {
    "connection_refused": (
        _NO,
        "{where} 拒绝连接，该端口上没有程序在监听：请确认对方已启动，并核对端口号。",
        "{where} refuses the connection, nothing listens on that port: check that its program "
        "runs, and the port"
        " number.",
    ),
    "no_descriptor": (
        "BadResourceUnavailable",
        "采集代理的文件描述符用完了（{why}），暂时无法建立这个连接："
        "请提高服务单元的 LimitNOFILE（或 ulimit -n）后重启。",
        "The agent has no file descriptor left for this connection ({why}): raise LimitNOFILE of "
        "its unit (or"
        " `ulimit -n`) and restart it.",
    ),
    "connection_timeout": (
        "BadTimeout",
        "{where} 在 {seconds} 秒内没有建立连接：设备可能断电、不在这个地址，或被防火墙拦截。请先 "
        "ping 该地址。",
        "{where} made no connection within {seconds} s: it may be off, not at this address, or "
        "behind a firewall. Try"
        " to ping it.",
    ),
    "no_route": (
        _NO,
        "没有通往 {where} 的网络（{why}）：请检查网线、交换机、本机 IP 地址和子网掩码。",
        "There is no way to {where} ({why}): check the cable, the switch, and this machine's "
        "address and netmask.",
    ),
    "connection_forbidden": (
        _NO,
        "本机不允许连接 {where}（{why}）：请检查防火墙，以及 systemd 单元中的 IPAddressAllow=。",
        "This machine does not allow a connection to {where} ({why}): check the firewall, and "
        "IPAddressAllow= of the"
        " systemd unit.",
    ),
    "name_unknown": (
        _NO,
        "{where} 的主机名无法解析：请核对主机名和 DNS，或改用 IP 地址。",
        "The host name of {where} cannot be resolved: check the name and the DNS, or use the IP "
        "address.",
    ),
    "closed_by_peer": (
        _NO,
        "{where} 关闭了连接：请检查其连接数限制，关闭其他客户端。",
        "{where} closed the connection: check how many connections it allows, and close other "
        "clients.",
    ),
    "connection_reset": (
        _NO,
        "{where} 中断了连接（{why}）：设备可能重启过，或连接数已满。请关闭其他客户端。",
        "{where} broke the connection ({why}): it may have restarted, or has too many "
        "connections. Close other"
        " clients.",
    ),
    "connection_broken": (
        _NO,
        "与 {where} 的连接失败（{why}）：请检查地址、端口和网络。",
        "The connection to {where} failed ({why}): check the address, the port and the network.",
    ),
    "not_connected": (
        "BadNotConnected",
        "与 {where} 还没有连接，正在重连。",
        "There is no connection to {where}; it is being made again.",
    ),
    "given_up": (
        _WRONG,
        "一次读取中途停止，连接随之关闭并重建。",
        "A read was given up half way; its connection is closed and made again.",
    ),
    "closed_by_us": (_NO, "连接已由本机关闭。", "The connection was closed from here."),
    "certificate_not_trusted": (
        _NO,
        "不信任 {where} 的证书（{why}）：请检查 ca、url 中的主机名和本机时钟。",
        "The certificate of {where} is not trusted ({why}): check `ca`, the host in `url`, and "
        "this machine's clock.",
    ),
    "tls_failed": (
        _NO,
        "与 {where} 的 TLS 握手失败（{why}）：请确认该端口使用 TLS，并检查 cert 和 key。",
        "The TLS handshake with {where} failed ({why}): check that the port speaks TLS, and "
        "`cert` and `key`.",
    ),
    "key_with_password": (
        _NO,
        "key 文件带有口令：请换成没有口令、仅采集代理可读的 key 文件。",
        "The key file has a password: store the key without one, readable by the agent only.",
    ),
    "file_unreadable": (
        _NO,
        "无法读取文件 {path}（{why}）：请检查路径，并让运行采集代理的用户可以读取。",
        "The file {path} cannot be read ({why}): check the path, and let the agent's user read it.",
    ),
    "file_unusable": (
        _NO,
        "文件 {path} 不是可用的证书或密钥（{why}）：请换成 PEM 或 DER 格式的文件。",
        "The file {path} is no certificate or key that can be used ({why}): give one in PEM or "
        "DER form.",
    ),
    "port_missing": (
        "BadNotFound",
        "本机上没有串口 {path}：请插好 USB 转换器，或更正 url 中的路径；插好后会自动连接。",
        "There is no serial port {path} here: plug the adapter in, or correct the path in `url`; "
        "it is opened as soon"
        " as it is there.",
    ),
    "port_forbidden": (
        _NO,
        "无权打开串口 {path}：请把采集代理的用户加入 dialout 组；systemd 下请安装 "
        "deploy/serial.conf。",
        "No permission to open the serial port {path}: add the agent's user to the group "
        "dialout; under systemd,"
        " install deploy/serial.conf.",
    ),
    "port_busy": (
        _NO,
        "串口 {path} 正被其他程序占用：请停止该程序。",
        "Another program uses the serial port {path}: stop it.",
    ),
    "state_undecided": (
        "UncertainInitialValue",
        "状态还不能断定：state 的规则写了 for，要连续成立那么久；稍等即可。",
        "The state is not certain yet: a rule of `state` has a `for`, which must have held for "
        "so long; wait a little.",
    ),
    "agent_paused": (
        "BadTimeout",
        "采集代理自己停顿了 {seconds} 秒（进程被挂起、虚拟机暂停或负载过高），这段时间没有采集，"
        "并非设备故障。",
        "The agent itself stood still for {seconds} s (suspended, its machine paused or "
        "overloaded) and read nothing"
        " meanwhile; this is no fault of the device.",
    ),
    "all_absent": (
        _REFUSED,
        "设备有应答，但点表中的变量（都写了 optional）一个也没有：请核对模板和设备地址。",
        "The device answers and has none of its tags, all of which are `optional`: check the "
        "template and the device's"
        " address.",
    ),
    "removed": (
        "BadOutOfService",
        "设备已从配置中移除。",
        "The device was removed from the configuration.",
    ),
    "internal": (
        "BadInternalError",
        "程序内部错误（{why}），已记入日志，正在重试：请把日志发给维护者。",
        "A fault of the program itself ({why}), written to the log; it is tried again. Send the "
        "log to the"
        " maintainers.",
    ),
}

#: Answers of Modbus devices. Facts: `request` (what was asked, with the unit), and what came
#: instead.
_MODBUS: Final[Mapping[str, tuple[str, str, str]]] = {
    "modbus_silent": (
        "BadTimeout",
        "站号 {unit} 在 {seconds} 秒内没有应答（{request}）：请检查设备电源、站号和接线。",
        "Unit {unit} did not answer within {seconds} s ({request}): check the device's power, "
        "its unit number and the"
        " wiring.",
    ),
    "modbus_exception_1": (
        _REFUSED,
        "设备不支持该功能码（异常 1，{request}）：请核对 address 的区域（coil、discrete、"
        "holding、input）。",
        "The device does not know this function (exception 1, {request}): check the area of "
        "`address` (coil, discrete,"
        " holding, input).",
    ),
    "modbus_exception_2": (
        _REFUSED,
        "设备没有这个地址（异常 2，{request}）：请核对点表、数量和 base（从 0 还是从 1 起）。",
        "The device does not have this address (exception 2, {request}): compare it with the "
        "manual, also the count"
        " and `base` (from 0 or from 1).",
    ),
    "modbus_exception_3": (
        _REFUSED,
        "设备不接受请求的数量或内容（异常 3，{request}）：请调小 max_registers，或核对变量类型。",
        "The device does not accept the count or content of the request (exception 3, "
        "{request}): lower"
        " `max_registers`, or check the tag's type.",
    ),
    "modbus_exception_4": (
        _FAILED,
        "设备在处理请求时出错（异常 4，{request}）：请查看设备面板和报警。",
        "The device failed while it worked on the request (exception 4, {request}): look at its "
        "panel and alarms.",
    ),
    "modbus_exception_5": (
        _FAILED,
        "设备已接受请求但需要较长时间（异常 5，{request}），没有给出数值：请加长 every。",
        "The device accepted the request and needs long for it (exception 5, {request}); no "
        "value came: lengthen"
        " `every`.",
    ),
    "modbus_exception_6": (
        _FAILED,
        "设备正忙（异常 6，{request}）：请加长 every 或设置 pause_ms，并减少其他主站。",
        "The device is busy (exception 6, {request}): lengthen `every` or set `pause_ms`, and "
        "use fewer other masters.",
    ),
    "modbus_exception_7": (
        _FAILED,
        "设备拒绝执行（异常 7，{request}）：请查看设备面板和手册。",
        "The device cannot perform this (exception 7, {request}): look at its panel and manual.",
    ),
    "modbus_exception_8": (
        _FAILED,
        "设备存储器校验出错（异常 8，{request}）：请检修设备。",
        "The device found a parity error in its memory (exception 8, {request}): have the device "
        "serviced.",
    ),
    "modbus_exception_9": (
        _FAILED,
        "设备返回标准之外的异常 9（{request}）：请查看设备手册。",
        "The device answers with exception 9, which the standard does not have ({request}): see "
        "its manual.",
    ),
    "modbus_exception_10": (
        _NO,
        "网关没有通往站号 {unit} 的通道（异常 10，{request}）：请检查网关的串口配置。",
        "The gateway has no path to unit {unit} (exception 10, {request}): check the settings of "
        "its serial port.",
    ),
    "modbus_exception_11": (
        _NO,
        "网关后面的站号 {unit} 没有应答（异常 11，{request}）：请检查该设备的电源、站号、"
        "波特率和接线。",
        "Unit {unit} behind the gateway does not answer (exception 11, {request}): check its "
        "power, unit number, baud"
        " rate and wiring.",
    ),
    "modbus_exception_other": (
        _FAILED,
        "设备返回标准之外的异常 {code}（{request}）：请查看设备手册。",
        "The device answers with exception {code}, which the standard does not have ({request}): "
        "see its manual.",
    ),
    "modbus_wrong_unit": (
        _WRONG,
        "问的是站号 {unit}，应答的却是站号 {found}（{request}），已丢弃：请核对 unit，"
        "检查站号是否重复；"
        "确是该设备时写 accept_unit: {found}。",
        "Unit {unit} was asked and unit {found} answered ({request}); it was discarded: check "
        "`unit`, and whether two"
        " devices have one number. Where it is this device, write accept_unit: {found}.",
    ),
    "modbus_wrong_function": (
        _WRONG,
        "应答的功能码是 {found}，与请求不符（{request}），已丢弃：请检查网关和站号冲突。",
        "Function code {found} answers another request than ours ({request}); it was discarded: "
        "check the gateway, and"
        " double unit numbers.",
    ),
    "modbus_wrong_length": (
        "BadDecodingError",
        "应答有 {found} 字节数据，应为 {size}（{request}），已丢弃：请检查网关和线路干扰。",
        "The answer has {found} data bytes instead of {size} ({request}); it was discarded: "
        "check the gateway, and"
        " noise on the line.",
    ),
    "modbus_short_answer": (
        "BadDecodingError",
        "应答连站号在内只有 {found} 字节，不成其为应答（{request}），已丢弃："
        "请检查网关和线路干扰。",
        "The answer has {found} bytes with its unit number, which is too few for any "
        "({request}); it was discarded:"
        " check the gateway, and noise on the line.",
    ),
    "modbus_unfinished": (
        _WRONG,
        "一帧只到了前 {count} 字节，其余在超时之前没有到，连接随之重建：请检查网关、网络丢包，"
        "或加长 timeout。",
        "Only the first {count} bytes of a frame came before the time-out, and the connection is "
        "made again: check the"
        " gateway, look for lost packets, or lengthen `timeout`.",
    ),
    "modbus_noise": (
        _WRONG,
        "收到 {count} 字节，其中没有校验和正确的应答（{request}）：请检查线路干扰、终端电阻、"
        "波特率和校验位。",
        "{count} bytes came and hold no answer with a right check sum ({request}): check noise, "
        "the terminating"
        " resistor, baud rate and parity.",
    ),
    "modbus_costly": (
        _REFUSED,
        "一问这个地址（{request}），设备就断开或不答，而其他地址正常；每分钟只试一次："
        "请对照手册核对地址。",
        "The device hangs up or is silent when it is asked for this address ({request}), and "
        "answers others; it is"
        " tried once a minute: compare the address with the manual.",
    ),
    "modbus_torn": (
        "BadDecodingError",
        "分几次读取时数值的高位变了（{request}），这一轮没有值：下一轮会再读。",
        "The high part of the number changed while it was read in parts ({request}); there is no "
        "value in this turn,"
        " and it is read again in the next one.",
    ),
    "modbus_wrong_transaction": (
        _WRONG,
        "应答的事务号 {found} 没有请求过，已丢弃：请检查网关，或是否有两个程序共用一个连接。",
        "Transaction id {found} was not asked for and was discarded: check the gateway.",
    ),
    "modbus_not_modbus": (
        _WRONG,
        "有应答，但不是 Modbus（{why}）：请核对端口（Modbus TCP 通常是 502），以及是 tcp:// 还是 "
        "rtu-tcp://。",
        "It answers, but not Modbus ({why}): check the port (502 is that of Modbus TCP), and "
        "whether it is tcp:// or"
        " rtu-tcp://.",
    ),
    "modbus_another_service": (
        _WRONG,
        "有应答，但不是 Modbus，而是{why}：请核对端口，Modbus TCP 通常是 502。",
        "It answers, but not Modbus: {why}. Check the port; 502 is that of Modbus TCP.",
    ),
    "modbus_says_nothing": (
        "BadTimeout",
        "{where} 接受连接，但什么也没有应答：请核对端口（Modbus TCP 通常是 502）和站号，"
        "确认设备已启用 Modbus；"
        "网关后面的设备还要核对接线、波特率和校验位。",
        "{where} accepts the connection and says nothing: check the port (502 is that of Modbus "
        "TCP) and the unit"
        " number, and that Modbus is enabled in the device; behind a gateway also wiring, baud "
        "rate and parity.",
    ),
    "modbus_hangs_up": (
        _NO,
        "{where} 接受连接后没有应答就断开：请核对端口（Modbus TCP 通常是 502）和站号，"
        "以及设备是否限制客户端的地址和连接数。",
        "{where} accepts the connection and closes it without an answer: check the port (502 is "
        "that of Modbus TCP),"
        " whether the device limits the addresses or the number of its clients, and the unit "
        "number.",
    ),
    "modbus_units_silent": (
        _NO,
        "{where} 的网关有应答，但所问的站号后面没有设备应答：请核对接线（A、B 是否对调）、"
        "波特率、校验位和站号范围。",
        "The gateway at {where} answers, and no device behind it does for the units asked: check "
        "the wiring (A and B"
        " swapped?), baud rate, parity, and the range of units.",
    ),
    "modbus_not_asked": (
        _WRONG,
        "收到 {count} 字节没有请求过的数据，连接随之重建：请检查网关，或是否有其他主站。",
        "{count} bytes came that nobody asked for, and the connection is made again: check the "
        "gateway, and for other"
        " masters.",
    ),
    "modbus_identification": (
        "BadDecodingError",
        "设备标识的应答（{found} 字节）不完整或不符合规范（{request}），已丢弃："
        "请检查网关和线路干扰。",
        "The identification that came ({found} bytes) is not whole, or not as the standard has "
        "it ({request}); it was"
        " discarded: check the gateway, and noise on the line.",
    ),
    "modbus_another_device": (
        _REFUSED,
        "{where} 上的站号 {unit} 不是所配置的设备：应为 {expected}，实为 {answered}。"
        "请核对地址和站号，串口还要核对两个转换器是否对调，并改用 /dev/serial/by-id/ 下的名称；"
        "如果设备确已更换，请更正 identify。",
        "Unit {unit} of {where} is not the configured device: expected {expected}, answered "
        "{answered}. Check the"
        " address and the unit number, on a serial port also whether two adapters have changed "
        "places, and use the"
        " name below /dev/serial/by-id/; if the device was replaced, correct `identify`.",
    ),
    "modbus_device_changed": (
        _REFUSED,
        "{where} 上的站号 {unit} 不是之前的设备：应为 {expected}，实为 {answered}。"
        "请核对两个串口转换器是否对调，并改用 /dev/serial/by-id/ 下的名称；如果设备确已更换，"
        "请执行：{command}",
        "Unit {unit} of {where} is not the device that it was: expected {expected}, answered "
        "{answered}. Check whether"
        " two adapters have changed places, and use the name below /dev/serial/by-id/; if the "
        "device was replaced, run:"
        " {command}",
    ),
    "modbus_other_units": (
        "UncertainConfigurationError",
        "{path} 重新打开后，应答的站号与之前不同：{units} 没有应答。两个转换器是否对调了？"
        "请核对接线，"
        "并改用 /dev/serial/by-id/ 下的名称；确认无误后执行：{command}",
        "The set of units that answer has changed since {path} was opened again: {units} silent; "
        "have two adapters"
        " changed places? Check the wiring and use the name below /dev/serial/by-id/; if all is "
        "as it should be, run:"
        " {command}",
    ),
    "modbus_reopened_meanwhile": (
        _WRONG,
        "核对设备期间与 {where} 的连接重建过，这次读到的不作数，下个周期再读。",
        "The connection to {where} was made again while a device was checked; what was read does "
        "not count, and is read"
        " again in the next period.",
    ),
    "modbus_foreign": (
        _WRONG,
        "应答不符合 Modbus 协议（{why}），已丢弃：请检查网关、站号冲突和线路干扰。",
        "The answer breaks the Modbus protocol ({why}) and was discarded: check the gateway, "
        "double unit numbers and"
        " noise.",
    ),
}

#: OPC UA. Facts: `where` (endpoint), and what stands in the way.
_OPCUA: Final[Mapping[str, tuple[str, str, str]]] = {
    "opcua_no_answer": (
        "BadTimeout",
        "{where} 没有按时应答：请确认 OPC UA 服务器正在运行，且网络没有拦截。",
        "{where} gave no answer in time: check that the OPC UA server runs, and that the network "
        "lets it through.",
    ),
    "opcua_silent": (
        "BadTimeout",
        "{where} 不再发送数据，也不应答：请检查服务器和网络，正在重连。",
        "{where} sends nothing any more and does not answer: check the server and the network; "
        "it is connected to"
        " again.",
    ),
    "opcua_subscription_silent": (
        "BadTimeout",
        "{where} 的订阅（{device}）没有按时发来保活消息，正在重连：请检查服务器负载和网络。",
        "{where}: the subscription of {device} sent no keep-alive in time and is made again: "
        "check the server's load"
        " and the network.",
    ),
    "opcua_subscription_ended": (
        _WRONG,
        "{where} 结束了 {device} 的订阅（{status}），正在重建：请查看服务器的日志。",
        "{where} ended the subscription of {device} ({status}); it is made again: see the "
        "server's log.",
    ),
    "opcua_skipped": (
        _WRONG,
        "{where} 跳过了 {device} 的 {count} 条通知，且无法补取，正在重连：请检查服务器负载。",
        "{where} skipped {count} notifications of {device} that cannot be had again; it is "
        "connected to again: check"
        " the server's load.",
    ),
    "opcua_not_opcua": (
        "BadDecodingError",
        "{where} 发来的不是 OPC UA（{why}）：请核对 endpoint 的端口。",
        "{where} sent something that is not OPC UA ({why}): check the port of `endpoint`.",
    ),
    "opcua_failed": (
        _WRONG,
        "与 {where} 的通信失败（{why}），正在重连：请查看服务器的日志。",
        "The exchange with {where} failed ({why}); it is tried again: see the server's log.",
    ),
    "opcua_policy_not_offered": (
        "BadSecurityPolicyRejected",
        "{where} 不提供 {wanted}，它提供：{offered}。请改 security 的 policy 和 mode，"
        "或在服务器上启用。",
        "{where} does not offer {wanted}; it offers: {offered}. Change policy and mode of "
        "`security`, or enable it at"
        " the server.",
    ),
    "opcua_certificate_refused": (
        "BadCertificateUntrusted",
        "不接受 {where} 的证书：{obstacles}",
        "The certificate of {where} is not accepted: {obstacles}",
    ),
    "opcua_own_certificate_refused": (
        "BadSecurityChecksFailed",
        "{where} 不接受我方证书（{status}）：请在服务器上信任 {own}，并核对双方时钟。",
        "{where} does not accept our certificate ({status}): have {own} put among the "
        "certificates it trusts, and"
        " check both clocks.",
    ),
    "opcua_pki_not_writable": (
        _REFUSED,
        "证书目录 {path} 无法写入（{why}）：请把 security.pki 设为可写的目录；systemd 下可写的是 "
        "StateDirectory=。",
        "The folder for certificates {path} cannot be written ({why}): set security.pki to one "
        "that can; under systemd"
        " that is below StateDirectory=.",
    ),
    "opcua_trust_unreadable": (
        _REFUSED,
        "信任的证书 {path} 无法读取（所有者 {owner}，权限 {mode}，而采集代理以 {user} 运行）："
        "请执行：{command}",
        "The trusted certificate {path} cannot be read (owner {owner}, mode {mode}, and the "
        "agent runs as {user}):"
        " run: {command}",
    ),
    "certificate_time": (
        "BadCertificateTimeInvalid",
        "证书的有效期是 {begins} 至 {ends}，现在不在其内：请在服务器上更新证书，或校准本机时钟；"
        "要原样接受，请{first}设置 security.check_time: false。",
        "It is valid from {begins} to {ends} only: renew it at the server, or set this machine's "
        "clock; to accept it as"
        " it is, {first}set security.check_time: false.",
    ),
    "certificate_uri": (
        "BadCertificateUriInvalid",
        "服务器自称 {uri}，证书中没有这个 URI：请在服务器上更新证书；"
        "要原样接受，请{first}设置 security.check_uri: false。",
        "The server calls itself {uri}, which the certificate does not name: renew it at the "
        "server; to accept it as it"
        " is, {first}set security.check_uri: false.",
    ),
    "certificate_host": (
        "BadCertificateHostNameInvalid",
        "证书中没有主机 {host}（其中有：{named}）：请改用证书中的主机，或设置 "
        "security.check_host: false。",
        "It does not name the host {host} (it names: {named}): use a host that it names, or set "
        "security.check_host:"
        " false.",
    ),
    "certificate_use": (
        "BadCertificateUseNotAllowed",
        "证书的用途（keyUsage）不含签名和密钥加密：请在服务器上更新证书，"
        "或把这张证书本身加入信任列表。",
        "Its key usage lacks signing and key encipherment: renew it at the server, or trust "
        "exactly this certificate.",
    ),
    "certificate_unknown": (
        "BadCertificateUntrusted",
        "它还不在信任列表中，请先与设备上显示的指纹核对（SHA-256 {fingerprint}），一致时执行："
        "{command}",
        "It is not trusted yet: compare its fingerprint with the one shown at the device "
        "(SHA-256 {fingerprint}); if"
        " they agree, run: {command}",
    ),
    "opcua_structure": (
        "BadDecodingError",
        "变量的值是结构 {type}，不能直接读取（能读的结构：{read}）：请填写其中的单个变量。",
        "The value is a structure of type {type}, which is not read (those that are: {read}): "
        "give a single variable"
        " inside it.",
    ),
    "opcua_field_unknown": (
        "BadDecodingError",
        "结构 {type} 没有字段 {field}，它有：{known}。请改正 field。",
        "The structure {type} has no field {field}; it has: {known}. Correct `field`.",
    ),
    "opcua_mixed": (
        "BadDecodingError",
        "变量的值不能读取（例如含空元素、数组或不同类型的数组）：请填写其中的单个变量。",
        "The value is of a kind that is not read, such as an array with empty elements, arrays "
        "or several types inside:"
        " give a single variable inside it.",
    ),
    "opcua_path_ends": (
        "BadNodeIdUnknown",
        "path 走到 {under} 为止，下一段 {segment} 不存在；那里有：{there}。请改正 path。",
        "The path leads as far as {under}; the next segment, {segment}, is not there. What "
        "stands there: {there}."
        " Correct `path`.",
    ),
    "opcua_path_empty": (
        "BadNodeIdUnknown",
        "path 走到 {under} 为止，下一段 {segment} 不存在，那里没有任何节点：请改正 path，"
        "或检查用户的浏览权限。",
        "The path leads as far as {under}; nothing stands there, and so no {segment}: correct "
        "`path`, or check what the"
        " user may browse.",
    ),
    "opcua_namespace_unknown": (
        "BadNodeIdUnknown",
        "服务器没有命名空间 {uri}，它有：{there}。请改正 node 或 path 中的 URI。",
        "The server has no namespace {uri}; it has: {there}. Correct the URI in `node` or `path`.",
    ),
    "opcua_type_mismatch": (
        "BadTypeMismatch",
        "服务器给出的类型是 {found}，点表要求 {wanted}，换算会失真：请写 type: {found}。",
        "The server gives {found} and the tag list wants {wanted}, which would distort it: write "
        "type: {found}.",
    ),
}

#: The broker and the store, at the service. Facts: `why` (their own words), `topics`.
_SERVICE: Final[Mapping[str, tuple[str, str, str]]] = {
    "store_silent": (
        _FAILED,
        "{where} 接受了连接，但在 {seconds} 秒内没有应答，正在重试：请查看数据库是否卡住或过载。",
        "{where} took the connection and did not answer within {seconds} s; it is tried again: "
        "see whether the store"
        " hangs or is overloaded.",
    ),
    "store_no_answer": (
        _FAILED,
        "数据库 {where} 接受了连接，但在 {seconds} 秒内没有应答，暂时无法查询："
        "请查看数据库是否卡住或过载，恢复后再试。",
        "The store {where} took the connection and did not answer within {seconds} s, so nothing "
        "can be read from it"
        " now: see whether it hangs or is overloaded, then ask again.",
    ),
    "store_failed": (
        _FAILED,
        "数据库没有接受数据（{why}），数据留在消息服务器，正在重试：请查看数据库的状态和日志。",
        "The store did not take the data ({why}), which stays with the broker and is tried "
        "again: see the store's state"
        " and log.",
    ),
    "store_damaged": (
        _FAILED,
        "数据库文件有损坏（{why}）：请停止入库服务，用 store check 查看，再用 store salvage "
        "保留能读出的全部。",
        "Bytes of the store's file are damaged ({why}): stop `serve`, look with `edge-agent "
        "store check`, then keep all"
        " that reads with `edge-agent store salvage`.",
    ),
    "store_full": (
        _FAILED,
        "数据库所在的磁盘已满（{why}），数据留在消息服务器，正在重试：请腾出空间。",
        "The disk of the store is full ({why}); the data stays with the broker and is tried "
        "again: free some space.",
    ),
    "store_login": (
        "BadUserAccessDenied",
        "数据库拒绝登录（{why}）：请检查 store.token，或 store.username 和 store.password。",
        "The store refuses the login ({why}): check store.token, or store.username and "
        "store.password.",
    ),
    "store_not_found": (
        "BadNotFound",
        "数据库没有所写的位置（{why}）：请检查 store.url、store.org 和 store.bucket。",
        "The store does not have the place that is written to ({why}): check store.url, "
        "store.org and store.bucket.",
    ),
    "store_answer_odd": (
        _WRONG,
        "数据库的应答看不懂（{why}）：请检查 store.kind 和 store.url 是否与它相符。",
        "The store's answer was not understood ({why}): check that store.kind and store.url are "
        "those of this store.",
    ),
    "store_part_away": (
        _NO,
        "数据库集群中有一部分没有应答，正在重试：请查看集群各节点的状态。",
        "A part of the store's cluster did not answer; it is tried again: see the state of its "
        "nodes.",
    ),
    "store_id_refused": (
        _REFUSED,
        "数据库不接受标识自身的记录（{why}）：请检查账号的写权限。",
        "The store does not take the record of its own id ({why}): check that the account may "
        "write.",
    ),
    "store_reopen_failed": (
        _FAILED,
        "无法重新打开数据库文件（{why}），正在重试：请检查磁盘空间，以及文件是否被移走或占用。",
        "The store's file cannot be opened again ({why}); it is tried again: check the disk's "
        "space, and whether the"
        " file was moved or is in use.",
    ),
    "store_file_removed": (
        _FAILED,
        "数据库文件 {path} 被移走或删除了：数据不再入库，也不再确认，留在消息服务器和采集代理的"
        "发件箱里。"
        "请把它移回原处；找不回时请重启入库服务，它会新建数据库，采集代理补发尚存的数据。",
        "The store's file {path} was moved away or removed: nothing is stored or confirmed any "
        "more, and the data stay"
        " with the broker and in the agents' outboxes. Move it back; where it is gone, restart "
        "the store service,"
        " which makes a new store, and the agents send again what they still have.",
    ),
    "store_file_replaced": (
        _FAILED,
        "数据库文件 {path} 在服务运行时被换成了另一个文件：数据不再入库，也不再确认，"
        "留在消息服务器和采集代理的发件箱里。请先停止入库服务，放好要用的文件，再启动；"
        "采集代理会补发它所缺的。",
        "The store's file {path} was replaced by another while the service runs: nothing is "
        "stored or confirmed any"
        " more, and the data stay with the broker and in the agents' outboxes. Stop the store "
        "service, put the file"
        " that is to be used in place, and start it again; the agents send what it lacks and "
        "they still have.",
    ),
    "store_other": (
        _FAILED,
        "数据库在服务运行时被换成了另一个（{where}）：数据不再入库，也不再确认，"
        "留在消息服务器和采集代理的发件箱里。请确认要用哪一个数据库，再重启入库服务；"
        "采集代理会补发它所缺的。",
        "Another database took the place of this one while the service runs ({where}): nothing is "
        "stored or confirmed any more, and the data stay with the broker and in the agents' "
        "outboxes. Make sure which database is meant, then restart the store service; the agents "
        "send what it lacks.",
    ),
    "store_query_refused": (
        _FAILED,
        "数据库拒绝了查询（{why}）：请查看数据库的日志。",
        "The store refused a query ({why}): see its log.",
    ),
    "store_rows_limited": (
        _REFUSED,
        "数据库只给出了一部分结果：请调高它的 max-row-limit（0 为不限）。",
        "The store gave a part of the result only: raise its max-row-limit (0 is no limit).",
    ),
    "store_without_data_refused": (
        _FAILED,
        "数据库连一批没有数据的写入也拒绝（{why}），正在重试：请查看数据库的状态和日志。",
        "The store refuses even a write without data ({why}); it is tried again: see the store's "
        "state and log.",
    ),
    "marks_file_failed": (
        _FAILED,
        "入库状态文件（store.path 旁的 .sqlite）写不了（{why}），数据留在消息服务器，正在重试："
        "请检查磁盘空间和权限。",
        "The file of the ingest's marks (the .sqlite at store.path) cannot be written ({why}); "
        "the data stays with the"
        " broker and is tried again: check the disk's space and the permissions.",
    ),
    "quarantine_failed": (
        _FAILED,
        "隔离区写不了（{why}），数据留在消息服务器，正在重试：请检查 store.quarantine "
        "的磁盘空间和权限。",
        "The quarantine cannot be written ({why}); the data stays with the broker and is tried "
        "again: check the disk's"
        " space and the permissions of store.quarantine.",
    ),
}

#: Name -> (status, zh, en); braces are facts.
CAUSES: Final[Mapping[str, tuple[str, str, str]]] = {**_NETWORK, **_MODBUS, **_OPCUA, **_SERVICE}
