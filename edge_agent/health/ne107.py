"""Self-health in the words of NAMUR NE 107, with the numbers of OPC 10000-100
(DeviceHealthEnumeration).

Pure: what is known of a device or of the agent goes in, one judgement with its reason comes out.
The worst finding decides; among equals the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

from edge_agent.reasons import Cause, sentence


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
    Health.NORMAL,
    Health.MAINTENANCE_REQUIRED,
    Health.OFF_SPEC,
    Health.CHECK_FUNCTION,
    Health.FAILURE,
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is not as it should be: a machine-readable reason and a sentence for
    people."""

    health: Health
    reason: str
    zh: str
    en: str


FINE: Final = Notice(Health.NORMAL, "", "正常。", "All is well.")


@dataclass(frozen=True, slots=True)
class HealthJudgement:
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

    def full(self, since: Mapping[str, int] | None = None) -> dict[str, Any]:
        """For people too: each notice with its sentences, and since when (ns) where `since` has
        that by reason."""
        told = []
        for n in self.notices:
            times = {} if since is None else {"since": since.get(n.reason)}
            told.append(
                {"health": n.health.name, "reason": n.reason, "zh": n.zh, "en": n.en, **times}
            )
        return {"number": int(self.health), "name": self.health.name, "notices": told}


class NoticeTimes:
    """Since when each reason has been noticed without a break."""

    def __init__(self) -> None:
        self.since: dict[str, int] = {}
        """Reason -> ns."""

    def note(self, judgement: HealthJudgement, now_ns: int) -> Mapping[str, int]:
        """The same with a newer judgement: reasons that are gone are forgotten."""
        self.since = {reason: self.since.get(reason, now_ns) for reason in judgement.reasons}
        return self.since


def judged(notices: Iterable[Notice]) -> HealthJudgement:
    """The notices in order of weight."""
    return HealthJudgement(tuple(sorted(notices, key=lambda notice: -_RANK.index(notice.health))))


#: Reasons for which part of a device is bad and a person has to correct something, while the rest
#: is fine.
_TO_CORRECT: Final = frozenset(
    {
        "BadConfigurationError",
        "BadNodeIdUnknown",
        "BadNodeIdInvalid",
        "BadAttributeIdInvalid",
        "BadNotReadable",
        "BadOutOfRange",
        "BadNoMatch",
        "BadTypeMismatch",
        "BadDecodingError",
        "BadSensorFailure",
        "BadDeviceFailure",
    }
)
#: Reasons that pass by themselves, or that somebody at the device has brought about.
_PASSING: Final = frozenset({"BadOutOfService", "BadWaitingForInitialData"})


def device(
    state: str,
    reason: str,
    findings: Sequence[str] = (),
    causes: Mapping[str, Cause] = MappingProxyType({}),
) -> HealthJudgement:
    """A device: its state with the state's reason, and findings such as `clock_offset` (all out of
    specification).

    `causes`: what exactly is behind a reason or a finding, where that is known.
    """
    notices = [_notice(Health.OFF_SPEC, finding, causes.get(finding)) for finding in findings]
    if state == "starting":
        notices.append(_notice(Health.CHECK_FUNCTION, "starting"))
    elif state == "offline":
        health = Health.CHECK_FUNCTION if reason == "BadOutOfService" else Health.FAILURE
        notices.append(_notice(health, reason, causes.get(reason)))
    elif state == "degraded":
        notices.append(_notice(_partial(reason), reason, causes.get(reason)))
    return judged(notices)


def _partial(reason: str) -> Health:
    if reason in _TO_CORRECT:
        return Health.MAINTENANCE_REQUIRED
    return Health.CHECK_FUNCTION if reason in _PASSING else Health.OFF_SPEC


def _notice(health: Health, reason: str, cause: Cause | None = None) -> Notice:
    return Notice(health, reason, *(sentence(reason) if cause is None else (cause.zh, cause.en)))
