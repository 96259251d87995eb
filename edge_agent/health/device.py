"""The health of one device: counters since the last row, and a state with transitions.

Coverage is accrued from evidence alone: time counts as covered when two good answers enclose it and
are no further apart than the period allows. What happened before the first answer, or around a
failure, stays uncovered. It is counted before report-by-change, so a quiet tag costs no coverage.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from edge_agent.health import ne107
from edge_agent.health.clocks import SourceClock
from edge_agent.health.tags import TagStates, absent_in
from edge_agent.model import Batch, is_bad, status_name
from edge_agent.reasons import Cause, cause, cause_of_status, sentence, status_of_cause

#: Reasons of a device that does not answer at all.
UNREACHED: Final = frozenset({"BadTimeout", "BadNoCommunication", "BadNotConnected"})

DeviceState = Literal["starting", "online", "degraded", "offline"]

#: How far apart two answers may be, in periods, for the time between them to count as covered.
REACH_PERIODS = 1.5

#: A subscription proves itself at the latest after so many seconds, by a keep-alive or by what it
#: brings: also where the server publishes more seldom than it was asked to.
PROOF_S = 10.0

#: More skipped turns than this share of the due ones is a finding: the device cannot keep up.
OVERRUN_SHARE = 0.1

#: A device that is offline, and has said so, has a row once in so many seconds of the wall clock,
#: where the seconds of others are counted every few: a thousand dead devices must not cost more
#: than a thousand that are read. No row of it speaks of two minutes, but for the few seconds until
#: its turn comes.
OFFLINE_ROW_S: Final = 30.0
_OFFLINE_ROW_NS: Final = int(OFFLINE_ROW_S * 1e9)

DEFAULT_TOLERANCE_S = 60.0

#: What the rows count, as sums since the start.
SUMMED = ("due", "done", "good", "bad", "overruns", "covered", "latency")


class DeviceHealth:
    """Counts polls and readings of one device; `row` speaks about the time since the last row."""

    def __init__(
        self,
        device: str,
        tags: int,
        rate: float,
        now: float,
        *,
        streaming: bool = False,
        clock_tolerance: float = DEFAULT_TOLERANCE_S,
    ) -> None:
        """`tags` and `rate`: how many there are, and readings expected a second; `now`: monotonic
        seconds."""
        self.device = device
        self.state: DeviceState = "starting"
        self.reason = ""
        self.cause: Cause | None = None
        """What exactly is behind `reason`; None while all is well."""
        self.last_good_t: int | None = None
        self.values_total = 0
        self.streaming = streaming
        self.tags = TagStates()
        self.clock = SourceClock(clock_tolerance)
        self._tags = tags
        self._rate = rate
        self._row_start = now
        self._evidence: float | None = None
        self._waiting = 0.0
        self._transition: dict[str, str] | None = None
        self._overrun = False
        self._row_part = 0
        """The stretch of `OFFLINE_ROW_S` in which the device last had a turn for a row."""
        self._before: dict[str, float] = dict.fromkeys(SUMMED, 0)
        self._reset()

    def _reset(self) -> None:
        self.due = self.done = self.good = self.bad = self.values = self.overruns = 0
        self.covered = self.latency = self.latency_max = 0.0

    @property
    def totals(self) -> dict[str, float]:
        """What rows count, since the start: readings and turns, seconds for `covered` and
        `latency`."""
        return {name: self._before[name] + getattr(self, name) for name in SUMMED}

    @property
    def overruns_total(self) -> int:
        """Turns skipped since the start."""
        return int(self._before["overruns"]) + self.overruns

    def answered(self, batch: Batch, now: float, latency: float) -> None:
        """A normalised batch: a poll was answered, or a notification came. `now` monotonic,
        `latency` in seconds."""
        self.done += 1
        self.latency += latency
        self.latency_max = max(self.latency_max, latency)
        total = len(batch.values)
        bad = 0
        if batch.status:
            absent = absent_in(batch)
            bad = sum(is_bad(code) for code in batch.status.values()) - absent
            total -= absent
        self.good += total - bad
        self.bad += bad
        self.values += total
        self.values_total += total
        if total > bad:
            reach = max(batch.table.every, PROOF_S) if self.streaming else batch.table.every
            self._alive(now, reach, batch.t)
        if (
            batch.status
            or self.state != "online"
            or self.tags.any
            or batch.table not in self.tags.begun
        ):
            self.tags.note(batch)
            self._judge()

    def lapsed(self, batch: Batch) -> bool:
        """Values that nobody confirmed in time, now bad. True when that is news."""
        self.tags.note(batch)
        if self.tags.bad >= self._present:
            self._evidence = None
        return self._judge()

    def _judge(self) -> bool:
        """The state by what is bad now."""
        bad = self.tags.bad
        if not bad and (self._present or not self._tags):
            return self._become("online", "", None)
        if not bad:  # it answers, and has none of what it was asked for
            why = cause("all_absent")
            return self._become("offline", status_of_cause(why.name), why)
        reason = self.tags.reason
        why = self.tags.cause or cause_of_status(reason)
        return self._become("degraded" if bad < self._present else "offline", reason, why)

    @property
    def _present(self) -> int:
        """How many tags there are, less the optional ones that this device does not have."""
        return self._tags - self.tags.absent

    def proven(self, now: float, period: float, t: int) -> None:
        """A subscription proved itself at `t`. That covers nothing while no tag of it is good."""
        if self.state in ("online", "degraded"):
            self._alive(now, period, t)

    def _alive(self, now: float, period: float, t: int) -> None:
        """Evidence that good values are current at `t`."""
        self.last_good_t = t
        if self._evidence is not None:
            self.covered += min(now - self._evidence, period * REACH_PERIODS)
        self._evidence = now

    def failed(self, status: int, why: Cause) -> bool:
        """The device did not answer. True when this is news: it was not offline for this reason
        before."""
        self._evidence = None
        return self._become("offline", status_name(status), why)

    @property
    def unreached(self) -> bool:
        """Offline because it does not answer; one that answers with values that are no good has
        been reached."""
        return self.state == "offline" and self.reason in UNREACHED

    def missed(self, turns: int, readings: int) -> None:
        """Turns that were due and brought nothing, with the readings they should have brought."""
        self.due += turns
        self.bad += readings

    def _become(self, state: DeviceState, reason: str, why: Cause | None) -> bool:
        known = self.cause
        self.cause = why
        same = state == self.state and reason == self.reason
        if same and (known is None or why is None or known.name == why.name):
            return False
        zh, en = (why.zh, why.en) if why is not None else sentence(reason)
        before = self._transition["from"] if self._transition else self.state
        self._transition = {"from": before, "to": state, "reason": reason, "zh": zh, "en": en}
        self.state = state
        self.reason = reason
        return not same

    @property
    def detail(self) -> tuple[str, str]:
        """(zh, en) of the cause; empty while all is well."""
        return ("", "") if self.cause is None else (self.cause.zh, self.cause.en)

    @property
    def changed(self) -> bool:
        """Whether a transition waits to be told; such a row does not wait for its turn."""
        return self._transition is not None

    def judgement(self) -> ne107.HealthJudgement:
        """The health of the device after NE 107, with every reason."""
        findings = ["clock_offset"] * self.clock.off + ["overruns"] * self._overrun
        if self.tags.uncertain and self.state in ("online", "degraded"):
            findings.append(self.tags.uncertain)
        return ne107.device(self.state, self.reason, findings, self._causes())

    def _causes(self) -> dict[str, Cause]:
        """What is known exactly, by the name of the reason that it is behind."""
        found = {} if self.cause is None else {self.reason: self.cause}
        uncertain = self.tags.uncertain_cause
        return found if uncertain is None else found | {self.tags.uncertain: uncertain}

    def row_due(self, t: int) -> bool:
        """Whether its turn at `t` (wall clock, ns) brings a row; called at each turn. What it
        leaves out is in the next one, counted to the second: see `OFFLINE_ROW_S`."""
        before = self._row_part
        self._row_part = t // _OFFLINE_ROW_NS
        return (
            before != self._row_part
            or self.state != "offline"
            or self.changed
            or self.done > 0
            or self.covered > 0
        )

    def row(self, now: float) -> dict[str, Any]:
        """The health document's fields for the time since the last row, and a fresh start."""
        period = now - self._row_start
        if self.streaming:
            self._count_unchanged(period, now)
        self._overrun = self.overruns > OVERRUN_SHARE * max(1, self.due)
        row: dict[str, Any] = {
            "period_s": round(period, 3),
            "scheduled_s": round(period, 3),
            "covered_s": round(self.covered, 3),
            "due": self.due,
            "done": self.done,
            "good": self.good,
            "bad": self.bad,
            "values": self.values,
            "latency_ms": round(1000 * self.latency / self.done, 3) if self.done else None,
            "latency_max_ms": round(1000 * self.latency_max, 3) if self.done else None,
            "overruns": self.overruns,
            "state": self.state,
            "reason": self.reason,
            "last_good_t": self.last_good_t,
            "ne107": self.judgement().brief(),
        }
        self._add_clock(row)
        self._add_transitions(row)
        self._before = self.totals
        self._row_start = now
        self._reset()
        return row

    def _add_clock(self, row: dict[str, Any]) -> None:
        if self.clock.offset is not None:
            row["clock_offset_ms"] = round(1000 * self.clock.offset, 3)
            if (drift := self.clock.drift) is not None:
                row["clock_drift_s_per_day"] = round(drift, 3)

    def _add_transitions(self, row: dict[str, Any]) -> None:
        if self._transition is not None:
            row["transition"] = self._transition
            self._transition = None
        elif self.cause is not None:
            # again, for whoever has not heard it: another store, or one that was emptied
            row["cause"] = {"zh": self.cause.zh, "en": self.cause.en}
        # What is true of all tags is said by the device's own transition.
        moves = self.tags.moves() if self.state != "offline" else []
        if moves:
            row["tag_transitions"] = moves

    def _count_unchanged(self, period: float, now: float) -> None:
        """A subscription says nothing about what did not change: while it lived those readings were
        good, else bad.

        The time since its last sign of life is neither yet: the row in which the next sign comes,
        or is overdue, tells.
        """
        waiting = 0.0 if self._evidence is None else now - self._evidence
        if waiting > PROOF_S * REACH_PERIODS:
            waiting = 0.0
        told = period + self._waiting - waiting
        self._waiting = waiting
        present = self._present
        share = 1 - self.tags.bad / present if present and self.state != "offline" else 0.0
        rate = self._rate * present / self._tags if self._tags else 0.0
        self.good = max(self.good, round(rate * share * min(self.covered, told)))
        self.bad = max(self.bad, round(rate * told) - self.good)
