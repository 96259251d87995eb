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
}


def sentence(reason: str) -> tuple[str, str]:
    """(zh, en) for a status name; a name without a sentence of its own is quoted."""
    return _REASONS.get(reason) or (f"设备状态：{reason}。", f"Device status: {reason}.")
