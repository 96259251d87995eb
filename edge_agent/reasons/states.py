"""States and findings of a device that are no status codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Name -> (zh, en).
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "": ("设备正常应答。", "The device answers as it should."),
    "starting": (
        "正在建立连接，尚无数值。",
        "The connection is being made; there are no values yet.",
    ),
    "set_aside": (
        "单元多次没有应答，熔断打开：只偶尔试探，不再占用总线，其他单元不受影响。",
        "The unit failed repeatedly and its breaker is open: it is only probed now and then, and "
        "the others on its line"
        " are not held up.",
    ),
    "asked_again": (
        "单元恢复应答，熔断关闭，按周期采集。",
        "The unit answers again and its breaker is closed: it is read every period.",
    ),
    "clock_offset": (
        "设备时钟与本机相差过大；数值照常保留，排序只用读取时间：请校准设备时钟。",
        "The device's clock is far from ours; values are kept and ordered by the time they were "
        "read: set its clock.",
    ),
    "was_of_guest": (
        "was 指向本厂的设备，而它来自配置之外的采集代理，不予采用：确属同一台设备时，"
        "请把该采集代理写进 agents。",
        "Its `was` names a device of this plant and comes from an agent that the configuration "
        "does not have, so it is"
        " not followed: if it is the same machine, add that agent to `agents`.",
    ),
    "was_still_speaks": (
        "was 所指的设备仍在上报，两者分开记录：请停止旧设备的采集；若是两台设备，请删去 was。",
        "The device that its `was` names still reports, and the two are kept apart: stop the old "
        "one; if they are two"
        " machines, take `was` out.",
    ),
    "was_taken": (
        "was 所指的设备已被另一台设备认领，以较新的为准：请只在一台设备上写这个 was。",
        "Another device claims what its `was` names, and the newer claim is followed: write this "
        "`was` at one device"
        " only.",
    ),
    "was_circle": (
        "was 的指向绕成了一圈，不予采用：请改正其中一处。",
        "What these `was` name leads round in a circle and is not followed: correct one of them.",
    ),
    "overruns": (
        "设备应答跟不上采集周期，部分轮次被跳过：请加长 every 或减少变量。",
        "The device answers more slowly than it is asked, and turns are skipped: lengthen "
        "`every` or read fewer tags.",
    ),
}
