"""Which machines are networked in effect, why others are not, and how well each is evidenced (E0-E3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.live import DeviceFacts, Live
from edge_agent.metrics.result import Grade
from edge_agent.register.model import Equipment, Register

DAY_S: Final = Fraction(86_400)
MAX_AGE_S: Final = 7 * DAY_S
"""A last good value older than this does not make a machine networked."""
MIN_COVERAGE: Final = Fraction(9, 10)
HISTORY_S: Final = 30 * DAY_S
"""Under this much history a result is provisional."""
JUDGED_AFTER_S: Final = Fraction(8 * 3600)
"""Planned working time after which a coverage says something; or `HISTORY_S` of any time, whichever is first."""
ONLINE_AGE_S: Final = Fraction(300)
"""Where nobody states whether a device is online: its last good value is at most so old."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One machine of the register as the live data show it."""

    equipment_id: str
    device: str
    declared: bool
    grade: Grade
    live: bool
    """Linked, recent and covered: networked in fact, declared or not."""
    why_not: Text | None
    """The first condition that fails; None when live."""
    history_s: Fraction | None
    planned_s: Fraction | None = None
    """Planned working time it was looked at; None where nobody states it."""
    online: bool = False
    """It delivered at the window's end."""

    @property
    def new(self) -> bool:
        """It was connected too short a time for its coverage to say anything."""
        whole_history = self.history_s is not None and self.history_s >= HISTORY_S
        return self.planned_s is not None and self.planned_s < JUDGED_AFTER_S and not whole_history

    @property
    def effective(self) -> bool:
        """Networked as the effective rates count it: declared and live."""
        return self.declared and self.live

    @property
    def provisional(self) -> bool:
        """It was first connected less than 30 days before the window's end."""
        return self.history_s is not None and self.history_s < HISTORY_S


def collect(register: Register, live: Live, configured: Collection[str] | None = None) -> dict[str, Evidence]:
    """Evidence for every counted machine. `configured` are the configured device ids; None: those of `live`."""
    known = live.devices.keys() if configured is None else configured
    machines = [machine for machine in register.equipment if machine.status == "in_use"]
    users = Counter(device for machine in machines for device in machine.devices)
    return {
        machine.equipment_id: _evidence(machine, live.devices, known, users) for machine in machines if machine.counted
    }


def _evidence(
    machine: Equipment, facts: Mapping[str, DeviceFacts], configured: Collection[str], users: Mapping[str, int]
) -> Evidence:
    broken = _broken_link(machine, configured, users)
    device = machine.gateway_device
    fact = DeviceFacts() if broken else facts.get(device, DeviceFacts())
    why_not = broken or _not_live(fact)
    found = Evidence(
        machine.equipment_id, device, machine.networked_declared, _grade(fact), why_not is None, why_not,
        fact.history_s, fact.history_s if fact.planned_s is None else fact.planned_s, _online(fact),
    )  # fmt: skip
    if why_not is None or broken or not (found.new and found.online):
        return found
    return replace(found, why_not=_too_new(found.planned_s or Fraction(0)))


def _online(fact: DeviceFacts) -> bool:
    if fact.online is not None:
        return fact.online
    return fact.last_good_age_s is not None and fact.last_good_age_s <= ONLINE_AGE_S


def _too_new(planned_s: Fraction) -> Text:
    """Of a machine that is online and was not connected long enough to be judged."""
    needed, so_far = int(JUDGED_AFTER_S / 3600), float(planned_s / 3600)
    return Text(
        f"在线；接入后计划工时 {so_far:.1f} h，满 {needed} h 后评定",
        f"online; {so_far:.1f} planned hours since it was connected, judged after {needed}",
    )


def _broken_link(machine: Equipment, configured: Collection[str], users: Mapping[str, int]) -> Text | None:
    if not machine.devices:
        return Text("没有对应的采集设备", "not linked to a device")
    if len(machine.devices) > 1:
        return Text("对应了多个采集设备", "linked to several devices")
    device = machine.devices[0]
    if users[device] > 1:
        return Text(f"采集设备 {device} 被多台机器共用", f"several machines are linked to the device {device}")
    if device not in configured:
        return Text(f"采集设备 {device} 未配置", f"the device {device} is not configured")
    return None


def _not_live(fact: DeviceFacts) -> Text | None:
    if fact.last_good_age_s is None:
        if fact.connected:
            return Text("已连接，但窗口内没有有效数据", "connected, and no good value in this window")
        return Text("窗口内未连接", "not connected in this window")
    if fact.last_good_age_s > MAX_AGE_S:
        days = float(fact.last_good_age_s / DAY_S)
        return Text(f"末次有效数据在 {days:.1f} 天前（> 7 天）", f"last good value {days:.1f} days ago (> 7 days)")
    if fact.coverage is None:
        return Text("覆盖率未知", "coverage unknown")
    if fact.coverage < MIN_COVERAGE:
        share = float(100 * fact.coverage)
        return Text(f"覆盖率 {share:.2f} %(< 90 %)", f"coverage {share:.2f} % (< 90 %)")
    return None


def _grade(fact: DeviceFacts) -> Grade:
    if fact.last_good_age_s is not None and fact.last_good_age_s <= MAX_AGE_S:
        return "E3" if fact.controller else "E2"
    return "E1" if fact.connected else "E0"
