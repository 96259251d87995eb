"""The health of one device: counters since the last row, and a state with transitions.

Coverage is accrued from evidence alone: time counts as covered when two good answers enclose it and are no
further apart than the period allows. What happened before the first answer, or around a failure, stays
uncovered. It is counted before report-by-change, so a quiet tag costs no coverage.
"""

from __future__ import annotations

from typing import Any, Literal

from edge_agent.health.reasons import sentence
from edge_agent.model import GOOD, Batch, is_bad, status_name

DeviceState = Literal["starting", "online", "degraded", "offline"]

#: How far apart two answers may be, in periods, for the time between them to count as covered.
REACH_PERIODS = 1.5


class DeviceHealth:
    """Counts polls and readings of one device; `row` speaks about the time since the last row."""

    def __init__(self, device: str, tags: int, rate: float, now: float, *, streaming: bool = False) -> None:
        self.device = device
        self.state: DeviceState = "starting"
        self.reason = ""
        self.detail = ""
        self.last_good_t: int | None = None
        self.values_total = 0
        self.overruns_total = 0
        self._tags = tags
        self._rate = rate
        self.streaming = streaming
        self._not_good: dict[str, int] = {}
        self._row_start = now
        self._evidence: float | None = None
        self._transition: dict[str, str] | None = None
        self._reset()

    def _reset(self) -> None:
        self.due = self.done = self.good = self.bad = self.values = self.overruns = 0
        self.covered = self.latency = self.latency_max = 0.0

    def answered(self, batch: Batch, now: float, latency: float) -> None:
        """A normalised batch: a poll was answered, or a notification came. `now` monotonic, `latency` in seconds."""
        self.done += 1
        self.latency += latency
        self.latency_max = max(self.latency_max, latency)
        total = len(batch.values)
        bad = sum(is_bad(code) for code in batch.status.values()) if batch.status else 0
        self.good += total - bad
        self.bad += bad
        self.values += total
        self.values_total += total
        if total > bad:
            self.alive(now, batch.table.every, batch.t)
        if batch.status or self._not_good or self.state != "online":
            self._judge(batch)

    def _judge(self, batch: Batch) -> None:
        names, columns, status = batch.table.names, batch.columns, batch.status
        for index in range(len(batch.values)):
            name = names[index if columns is None else columns[index]]
            code = status.get(index, GOOD)
            if is_bad(code):
                self._not_good[name] = code
            else:
                self._not_good.pop(name, None)
        if not self._not_good:
            self._become("online", "", "")
        else:
            reason = status_name(next(iter(self._not_good.values())))
            self._become("degraded" if len(self._not_good) < self._tags else "offline", reason, "")

    def alive(self, now: float, period: float, t: int) -> None:
        """Evidence that the device's values are current at `t`: a good answer, or a keep-alive of a subscription."""
        self.last_good_t = t
        if self._evidence is not None:
            self.covered += min(now - self._evidence, period * REACH_PERIODS)
        self._evidence = now

    def failed(self, status: int, detail: str) -> bool:
        """The device did not answer. True when this is news: it was not offline for this reason before."""
        self._evidence = None
        return self._become("offline", status_name(status), detail)

    def missed(self, turns: int, readings: int) -> None:
        """Turns that were due and brought nothing, with the readings they should have brought."""
        self.due += turns
        self.bad += readings

    def _become(self, state: DeviceState, reason: str, detail: str) -> bool:
        if state == self.state and reason == self.reason:
            return False
        zh, en = sentence(reason)
        before = self._transition["from"] if self._transition else self.state
        self._transition = {"from": before, "to": state, "reason": reason, "zh": zh, "en": en}
        self.state, self.reason, self.detail = state, reason, detail
        return True

    @property
    def changed(self) -> bool:
        """Whether a transition waits to be told; such a row does not wait for its turn."""
        return self._transition is not None

    def row(self, now: float) -> dict[str, Any]:
        """The health document's fields for the time since the last row, and a fresh start."""
        period = now - self._row_start
        if self.streaming:
            self._count_unchanged(period)
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
        }
        if self._transition is not None:
            row["transition"] = self._transition
            self._transition = None
        self.overruns_total += self.overruns
        self._row_start = now
        self._reset()
        return row

    def _count_unchanged(self, period: float) -> None:
        """A subscription says nothing about what did not change: while it lived those readings were good, else bad."""
        share = 1 - len(self._not_good) / self._tags if self._tags else 0.0
        self.good = max(self.good, round(self._rate * share * min(self.covered, period)))
        self.bad = max(self.bad, round(self._rate * period) - self.good)
