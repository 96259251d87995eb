"""Why a device is not well, in a sentence for people: Chinese and English, with the next step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "": ("设备正常应答。", "The device answers as it should."),
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
        "The serial port of the configuration does not exist here: check that the adapter is plugged in, and the path"
        " in `url`. It is opened as soon as it is there.",
    ),
    "BadResourceUnavailable": (
        "采集代理的文件描述符用完了，暂时无法连接这台设备：请提高服务单元的 LimitNOFILE（或 ulimit -n）后重启。",
        "The agent has no file descriptor left for a connection to this device: raise LimitNOFILE of its unit"
        " (or `ulimit -n`) and restart it.",
    ),
    "BadNotConnected": (
        "与设备的连接已断开，正在重连。",
        "The connection to the device is gone; it is being made again.",
    ),
    "BadCommunicationError": (
        "设备的应答不符合协议，已丢弃：请检查网关、站号冲突和线路干扰。",
        "The device's answers break the protocol and were discarded: check the gateway, double unit numbers and noise.",
    ),
    "BadConfigurationError": (
        "设备拒绝了部分地址：请核对点表与设备型号。",
        "The device refuses some addresses: compare the tag list with the device's manual.",
    ),
    "BadDeviceFailure": (
        "设备报告自身故障：请查看设备面板。",
        "The device reports a failure of its own: look at its panel.",
    ),
    "BadUserAccessDenied": (
        "设备拒绝了用户名或密码：请检查 user 配置。",
        "The device refused the user name or password: check `user`.",
    ),
    "BadSecurityChecksFailed": (
        "安全校验失败：请检查证书是否互相信任。",
        "The security check failed: check that each side trusts the other's certificate.",
    ),
    "BadWaitingForInitialData": (
        "连接已建立，但还没有收到任何值：请核对地址，或等待设备首次上报。",
        "No value has come yet: compare the addresses with the device, or wait for its first report.",
    ),
    "BadSensorFailure": (
        "设备给出的是无效数值（空值标记或非数字）：请检查传感器及其接线。",
        "The device gives a mark for 'no value' instead of a number: check the sensor and its wiring.",
    ),
    "BadOutOfService": (
        "设备或变量已停用。",
        "The device or the tag is out of service.",
    ),
    "BadNodeIdUnknown": (
        "设备上没有这个变量：请核对点表与设备程序的版本。",
        "The device does not have this tag: compare the tag list with the version of the device's program.",
    ),
    "BadInternalError": (
        "程序内部错误，已记入日志，正在重试：请把日志发给维护者。",
        "A fault of the program itself, written to the log; it is tried again. Send the log to the maintainers.",
    ),
    "UncertainEngineeringUnitsExceeded": (
        "数值超出配置的范围，已随标记保留：请核对量程 range 和 map。",
        "A value lies outside its configured range and is kept with that mark: check `range` and `map`.",
    ),
    "UncertainConfigurationError": (
        "不能确认应答的就是配置的设备，数值已随标记保留：请核对串口转换器是否对调、接线和站号。",
        "It is not certain that the device that answers is the configured one; values are kept with that mark: check"
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
    "starting": (
        "正在建立连接，尚无数值。",
        "The connection is being made; there are no values yet.",
    ),
    "set_aside": (
        "单元多次没有应答，熔断打开：只偶尔试探，不再占用总线，其他单元不受影响。",
        "The unit failed repeatedly and its breaker is open: it is only probed now and then, and the others on its line"
        " are not held up.",
    ),
    "asked_again": (
        "单元恢复应答，熔断关闭，按周期采集。",
        "The unit answers again and its breaker is closed: it is read every period.",
    ),
    "worker_down": (
        "读取该设备的工作进程已退出或没有应答，会自动重启。",
        "The worker that reads this device has ended or does not answer; it is started again by itself.",
    ),
    "clock_offset": (
        "设备时钟与本机相差过大；数值照常保留，排序只用读取时间：请校准设备时钟。",
        "The device's clock is far from ours; values are kept and ordered by the time they were read: set its clock.",
    ),
    "overruns": (
        "设备应答跟不上采集周期，部分轮次被跳过：请加长 every 或减少变量。",
        "The device answers more slowly than it is asked, and turns are skipped: lengthen `every` or read fewer tags.",
    ),
}


def sentence(reason: str) -> tuple[str, str]:
    """(zh, en) for a status name; a name without a sentence of its own is quoted."""
    return _REASONS.get(reason) or (f"设备状态：{reason}。", f"Device status: {reason}.")
