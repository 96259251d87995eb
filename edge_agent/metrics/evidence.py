"""Which machines are networked in effect, why others are not, and how well each is evidenced
(E0-E3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from edge_agent.metrics.definitions import Text
from edge_agent.metrics.live import DeviceFacts, LiveEvidence
from edge_agent.metrics.result import Grade
from edge_agent.register.membership import Membership
from edge_agent.register.model import Equipment, Register

DAY_S: Final = Fraction(86_400)
MAX_AGE_S: Final = 7 * DAY_S
"""A last good value older than this does not make a machine networked."""
MIN_COVERAGE: Final = Fraction(9, 10)
HISTORY_S: Final = 30 * DAY_S
"""Under this much history a result is provisional."""
JUDGED_AFTER_S: Final = Fraction(8 * 3600)
"""Planned working time after which a coverage says something; or `HISTORY_S` of any time, whichever
is first."""
CHANGE_WITHIN_S: Final = Fraction(8 * 3600)
"""Planned working time within which a value of a networked machine has to change; a choice of the
plant, this if none is stated."""
NEW_S: Final = Fraction(3600)
"""For so much planned time after its first connection a device may have shown no change yet."""
ONLINE_AGE_S: Final = Fraction(300)
"""Where nobody states whether a device is online: its last good value is at most so old."""


@dataclass(frozen=True, slots=True)
class MachineEvidence:
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


def collect(
    register: Register,
    live: LiveEvidence,
    configured: Collection[str] | None = None,
    *,
    members: Membership | None = None,
    change_within_s: Fraction = CHANGE_WITHIN_S,
) -> dict[str, MachineEvidence]:
    """Evidence for every machine that counts, or worked in the window.

    `configured` are the configured device ids; None: those of `live`. `members`: the register in
    the window; None: as it stands, whatever its dates.
    """
    known = live.devices.keys() if configured is None else configured
    members = Membership(register) if members is None else members
    machines = {machine.equipment_id: machine for machine in (*members.machines, *members.working)}
    return {
        key: _evidence(machine, live.devices, known, members, change_within_s)
        for key, machine in machines.items()
    }


def _evidence(
    machine: Equipment,
    facts: Mapping[str, DeviceFacts],
    configured: Collection[str],
    members: Membership,
    change_within_s: Fraction,
) -> MachineEvidence:
    """By its primary device: what its other devices say is shown, and proves nothing of the
    machine."""
    broken = _broken_link(machine, configured, members)
    fact = DeviceFacts() if broken else facts.get(machine.device, DeviceFacts())
    why_not = broken or _not_live(fact, change_within_s)
    found = MachineEvidence(
        machine.equipment_id,
        machine.device,
        machine.networked_declared,
        _grade(fact, change_within_s),
        why_not is None,
        why_not,
        fact.history_s,
        fact.history_s if fact.planned_s is None else fact.planned_s,
        _online(fact),
    )
    if why_not is None or broken or not (found.new and found.online):
        return found
    new = _too_new(found.planned_s or Fraction(0))
    if alive(fact, change_within_s):
        return replace(found, why_not=new)
    return replace(found, why_not=Text(f"{new.zh}；{why_not.zh}", f"{new.en}; {why_not.en}"))


def _online(fact: DeviceFacts) -> bool:
    if fact.online is not None:
        return fact.online
    return fact.last_good_age_s is not None and fact.last_good_age_s <= ONLINE_AGE_S


def _too_new(planned_s: Fraction) -> Text:
    """Of a machine that is online and was not connected long enough to be judged."""
    needed = int(JUDGED_AFTER_S / 3600)
    so_far = float(planned_s / 3600)
    return Text(
        f"在线；接入后计划工时 {so_far:.1f} h，满 {needed} h 后评定",
        f"online; {so_far:.1f} planned hours since it was connected, judged after {needed}",
    )


def _broken_link(
    machine: Equipment, configured: Collection[str], members: Membership
) -> Text | None:
    device = machine.device
    if not device:
        return Text("没有对应的采集设备", "not linked to a device")
    if not members.alone(machine):
        return Text(
            f"采集设备 {device} 被多台机器共用",
            f"several machines are linked to the device {device}",
        )
    if device not in configured:
        return Text(f"采集设备 {device} 未配置", f"the device {device} is not configured")
    return None


def alive(fact: DeviceFacts, within_s: Fraction) -> bool:
    """Whether a value of a device changed of late: one that repeats the same for hours may be a
    gateway's cache."""
    if not fact.looked_for_changes:
        return True
    if fact.unchanged_s is not None:
        return fact.unchanged_s < within_s
    planned_s = fact.history_s if fact.planned_s is None else fact.planned_s
    return fact.history_s is not None and planned_s is not None and planned_s < min(within_s, NEW_S)


def _unchanged(fact: DeviceFacts, within_s: Fraction) -> Text:
    needed = float(within_s / 3600)
    if fact.unchanged_s is None:
        zh = "没有见过任何数值变化"
        en = "no value was seen to change"
    else:
        hours = float(fact.unchanged_s / 3600)
        zh, en = (
            f"计划工时 {hours:.1f} h 内没有任何数值变化",
            f"no value changed for {hours:.1f} planned hours",
        )
    return Text(
        f"已连接，但{zh}（要求 {needed:g} 计划小时内有变化）：可能是网关在重复缓存；"
        "请采集控制器的时钟或心跳",
        f"connected, and {en} (a change is required within {needed:g}): it may be a gateway that "
        "repeats its cache; "
        "collect the controller's clock or heartbeat",
    )


def _not_live(fact: DeviceFacts, change_within_s: Fraction) -> Text | None:
    if fact.contradicted:
        return Text(
            "健康记录称有有效读数，存储中却没有它的任何数值：不作证据",
            "its health rows speak of good readings and the store has no value of it: no evidence",
        )
    if fact.last_good_age_s is None:
        if fact.connected:
            return Text(
                "已连接，但窗口内没有有效数据", "connected, and no good value in this window"
            )
        return Text("窗口内未连接", "not connected in this window")
    if fact.last_good_age_s > MAX_AGE_S:
        days = float(fact.last_good_age_s / DAY_S)
        return Text(
            f"末次有效数据在 {days:.1f} 天前（> 7 天）",
            f"last good value {days:.1f} days ago (> 7 days)",
        )
    if not alive(fact, change_within_s):
        return _unchanged(fact, change_within_s)
    if fact.coverage is None:
        return Text("覆盖率未知", "coverage unknown")
    if fact.coverage < MIN_COVERAGE:
        share = float(100 * fact.coverage)
        return Text(f"覆盖率 {share:.2f} %(< 90 %)", f"coverage {share:.2f} % (< 90 %)")
    return None


def _grade(fact: DeviceFacts, change_within_s: Fraction) -> Grade:
    recent = fact.last_good_age_s is not None and fact.last_good_age_s <= MAX_AGE_S
    if recent and alive(fact, change_within_s):
        return "E3" if fact.controller else "E2"
    return "E1" if fact.connected else "E0"
