"""Self-health in the words of NAMUR NE 107, with the numbers of OPC 10000-100 (DeviceHealthEnumeration).

Pure: what is known of a device or of the agent goes in, one judgement with its reason comes out. The worst
finding decides; among equals the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

from edge_agent.health.reasons import sentence


class Health(IntEnum):
    """DeviceHealthEnumeration of OPC 10000-100; the words are those of NE 107."""

    NORMAL = 0
    FAILURE = 1
    """No valid output."""
    CHECK_FUNCTION = 2
    """No valid output for now, because the device is being worked on or is starting."""
    OFF_SPEC = 3
    """Output of less certainty than specified."""
    MAINTENANCE_REQUIRED = 4
    """Output valid, but a reserve is running out or somebody has to correct something."""


NAMES: Final = {
    Health.NORMAL: ("正常", "normal"),
    Health.FAILURE: ("故障", "failure"),
    Health.CHECK_FUNCTION: ("功能检查", "check function"),
    Health.OFF_SPEC: ("超出规格", "out of specification"),
    Health.MAINTENANCE_REQUIRED: ("需要维护", "maintenance required"),
}
"""Chinese and English, for people."""

_RANK: Final = (
    Health.NORMAL, Health.MAINTENANCE_REQUIRED, Health.OFF_SPEC, Health.CHECK_FUNCTION, Health.FAILURE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is not as it should be: a machine-readable reason and a sentence for people."""

    health: Health
    reason: str
    zh: str
    en: str


FINE: Final = Notice(Health.NORMAL, "", "正常。", "All is well.")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The health of one thing, and every notice behind it, worst first."""

    notices: tuple[Notice, ...] = ()

    @property
    def worst(self) -> Notice:
        return self.notices[0] if self.notices else FINE

    @property
    def health(self) -> Health:
        return self.worst.health

    @property
    def reasons(self) -> list[str]:
        """Machine-readable, worst first."""
        return [notice.reason for notice in self.notices]

    def brief(self) -> dict[str, Any]:
        """For a health row: number, name, and the reasons in order."""
        return {"number": int(self.health), "name": self.health.name, "reasons": self.reasons}

    def full(self) -> dict[str, Any]:
        """For people too: each notice with its sentences."""
        told = [{"health": n.health.name, "reason": n.reason, "zh": n.zh, "en": n.en} for n in self.notices]
        return {"number": int(self.health), "name": self.health.name, "notices": told}


def judged(notices: Iterable[Notice]) -> Judgement:
    """The notices in order of weight."""
    return Judgement(tuple(sorted(notices, key=lambda notice: -_RANK.index(notice.health))))


#: Reasons for which part of a device is bad and a person has to correct something, while the rest is fine.
_TO_CORRECT: Final = frozenset({
    "BadConfigurationError", "BadNodeIdUnknown", "BadNodeIdInvalid", "BadAttributeIdInvalid", "BadNotReadable",
    "BadOutOfRange", "BadNoMatch", "BadTypeMismatch", "BadDecodingError", "BadSensorFailure", "BadDeviceFailure",
})  # fmt: skip
#: Reasons that pass by themselves, or that somebody at the device has brought about.
_PASSING: Final = frozenset({"BadOutOfService", "BadWaitingForInitialData"})


def device(
    state: str, reason: str, findings: Sequence[str] = (), own: Mapping[str, tuple[str, str]] = MappingProxyType({})
) -> Judgement:
    """A device: its state with the state's reason, and findings such as `clock_offset` (all out of specification).

    `own`: the sentences of reasons that its connector has put into words.
    """
    notices = [_notice(Health.OFF_SPEC, finding, own) for finding in findings]
    if state == "starting":
        notices.append(_notice(Health.CHECK_FUNCTION, "starting", own))
    elif state == "offline":
        health = Health.CHECK_FUNCTION if reason == "BadOutOfService" else Health.FAILURE
        notices.append(_notice(health, reason, own))
    elif state == "degraded":
        notices.append(_notice(_partial(reason), reason, own))
    return judged(notices)


def _partial(reason: str) -> Health:
    if reason in _TO_CORRECT:
        return Health.MAINTENANCE_REQUIRED
    return Health.CHECK_FUNCTION if reason in _PASSING else Health.OFF_SPEC


def _notice(health: Health, reason: str, own: Mapping[str, tuple[str, str]]) -> Notice:
    return Notice(health, reason, *(own.get(reason) or sentence(reason)))
