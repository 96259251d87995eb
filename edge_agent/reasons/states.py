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
