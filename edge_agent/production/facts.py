"""The facts of a window: all that the figures of a report rest on, and exactly what an evidence
pack holds.

Times are integer nanoseconds (Unix, UTC). Amounts are exact fractions of the decimal digits that
were read, so that whoever reads the same digits from a CSV file computes the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal, get_args, overload

import numpy as np
import numpy.typing as npt

from edge_agent.metrics.counters import SET_ASIDE, EventKind
from edge_agent.metrics.counters import CounterEvent as CounterEvent
from edge_agent.metrics.evidence import HISTORY_S
from edge_agent.metrics.live import HealthSums
from edge_agent.metrics.live import StoredSignals as StoredSignals
from edge_agent.metrics.planned import PlannedTime as Hours
from edge_agent.metrics.readings import Number

MINUTE_NS: Final = 60_000_000_000
HISTORY_NS: Final = int(HISTORY_S) * 1_000_000_000
#: States are read from so much earlier, to know when a failure that goes on across the start began.
BEFORE_NS: Final = 86_400_000_000_000
_S: Final = 1_000_000_000

Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Role = Literal["produced", "good", "scrap", "energy", "integrated_power"]
EVENT_KINDS: Final[frozenset[str]] = frozenset(get_args(EventKind))
#: Events whose readings count nothing.
KINDS_SET_ASIDE: Final[frozenset[str]] = SET_ASIDE
#: The counters of parts, by what they count.
PART_ROLES: Final[tuple[Role, ...]] = ("produced", "good", "scrap")


@dataclass(frozen=True, slots=True)
class AssessedDevice:
    """One configured device as an assessor sees it: what it speaks, where, and how it is
    protected."""

    id: str
    name: str = ""
    line: str = ""
    area: str = ""
    connector: str = ""
    endpoint: str = ""
    unit: str = ""
    security: str = ""
    access: str = ""
    profile: str = ""
    every_s: str = ""
    tags: int = 0
    controller: bool = False
    """Execution, mode and program or part count come from the controller (E3)."""
    normalised: bool = False
    """Its states follow the common machine model."""
    business_links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InterfaceTag:
    """One row of the interface table."""

    device: str
    tag: str
    type: str = ""
    unit: str = ""
    low: str = ""
    high: str = ""
    business_link: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class StateChange:
    """From `t` on the machine was in this state; item 0 = not known, `why` says for what reason."""

    t: int
    item: int
    mode: int
    order: bool | None = None
    """Whether there was an order; None: no signal says so, and the calendar counts as the order."""
    why: str = ""


class StateColumns(Sequence[StateChange]):
    """The states of one machine as columns, one row per change: a month of a busy machine has tens
    of thousands.

    `t` (int64, ns, rising strictly), `item`, `mode` (int64, numbers of `timemodel.Item` and
    `Mode`), `order` (bool; None: no signal says so), `why` (one text per row).
    """

    __slots__ = ("item", "mode", "order", "t", "why")

    def __init__(
        self, t: Longs, item: Longs, mode: Longs, order: Flags | None, why: Sequence[str]
    ) -> None:
        self.t = t
        self.item = item
        self.mode = mode
        self.order = order
        self.why = why

    @classmethod
    def of(cls, rows: Sequence[StateChange]) -> StateColumns:
        """From single rows; whether there is an order signal is what the first row says."""
        if isinstance(rows, StateColumns):
            return rows
        t, item, mode = (
            np.array([getattr(row, name) for row in rows], np.int64)
            for name in ("t", "item", "mode")
        )
        ordered = bool(rows) and rows[0].order is not None
        order = np.array([bool(row.order) for row in rows], np.bool_) if ordered else None
        return cls(t, item, mode, order, [row.why for row in rows])

    def __len__(self) -> int:
        return len(self.t)

    @overload
    def __getitem__(self, place: int) -> StateChange: ...
    @overload
    def __getitem__(self, place: slice) -> StateColumns: ...
    def __getitem__(self, place: int | slice) -> StateChange | StateColumns:
        if isinstance(place, slice):
            order = None if self.order is None else self.order[place]
            return StateColumns(
                self.t[place], self.item[place], self.mode[place], order, self.why[place]
            )
        order_here = None if self.order is None else bool(self.order[place])
        return StateChange(
            int(self.t[place]),
            int(self.item[place]),
            int(self.mode[place]),
            order_here,
            self.why[place],
        )

    def __iter__(self) -> Iterator[StateChange]:
        orders = [None] * len(self.t) if self.order is None else self.order.tolist()
        return map(
            StateChange, self.t.tolist(), self.item.tolist(), self.mode.tolist(), orders, self.why
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"States({list(self)!r})"


@dataclass(frozen=True, slots=True)
class CounterReadings:
    """Readings of one counter at its changes (at most the first and the last of a minute, and both
    sides of a fall).

    `ratio` turns a reading into pieces or kWh; `modulus` is where it rolls over, None = not known
    to.
    """

    device: str
    role: Role
    tag: str
    ratio: Fraction
    modulus: Number | None
    readings: Sequence[tuple[int, Fraction]]
    """(t, reading); of a long series `Readings`, its columns. Only those that count."""
    epochs: Sequence[tuple[int, Number | None]] = ()
    """(from, modulus): nothing is counted across these moments."""
    events: Sequence[CounterEvent] = ()
    """What was seen in the window: what was set aside, and where epochs began."""
    unknown_since: int | None = None
    """The next reading has not come: from here to the window's end nothing is known (ns)."""


class MinuteHealth:
    """The health of one device by minute (sums of its health rows), as columns: a month of a plant
    has millions.

    `rows` is int64, a row per minute, its columns as in COLUMNS; seconds are in milliseconds, times
    in ns, and no last good reading is -1. Sorted by `end`, the end of the minute.
    """

    COLUMNS: Final = (
        "end",
        "scheduled_ms",
        "covered_ms",
        "due",
        "done",
        "good",
        "bad",
        "values",
        "overruns",
        "last_good",
    )

    def __init__(self, rows: npt.ArrayLike) -> None:
        self.rows: npt.NDArray[np.int64] = np.asarray(rows, np.int64).reshape(-1, len(self.COLUMNS))

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """One column."""
        return self.rows[:, self.COLUMNS.index(name)]

    def total(self, name: str) -> int:
        """The sum of one column."""
        return int(self.column(name).sum())

    def inside(self, start: int, end: int) -> MinuteHealth:
        """The minutes that end in `start < t <= end`."""
        times = self.column("end")
        return MinuteHealth(self.rows[(times > start) & (times <= end)])

    def planned(self, hours: Hours | None) -> MinuteHealth:
        """The minutes whose middle was planned working time; None: all."""
        return (
            self
            if hours is None
            else MinuteHealth(self.rows[hours.holds(self.column("end") - MINUTE_NS // 2)])
        )

    @property
    def last_good(self) -> int | None:
        """The last good reading in these minutes."""
        last = int(self.column("last_good").max(initial=-1))
        return None if last < 0 else last

    def sums(self) -> HealthSums:
        """What they add up to."""
        scheduled_s, covered_s = (
            self.total(name) / 1000 for name in ("scheduled_ms", "covered_ms")
        )
        return HealthSums(scheduled_s, covered_s, self.total("good"), self.total("bad"))


@dataclass(frozen=True, slots=True)
class ReadingQuality:
    """One device's readings of the window's last day, all tags together."""

    readings: int = 0
    not_good: int = 0
    out_of_range: int = 0
    unchanged: tuple[str, ...] = ()
    """Float tags with one value all along: a hint, a set point may well stand still."""
    skew_ms: int | None = None
    """Median of read time - source time; None where the protocol has no source time."""


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """A change of a device's connection."""

    t: int
    device: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class DroppedValues:
    """Values an agent had to drop, as it reported itself."""

    t: int
    agent: str
    stream: str
    from_t: int
    to_t: int
    values: int


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What the calendar says from `t` on, for one schedule."""

    schedule: str
    t: int
    plan: str


@dataclass(frozen=True)
class WindowFacts:
    """Everything known of `start < t <= end`; health by minute reaches back 30 days, as the
    networking rate asks."""

    start: int
    end: int
    devices: Mapping[str, AssessedDevice] = field(default_factory=dict)
    tags: Sequence[InterfaceTag] = ()
    first_good: Mapping[str, int] = field(default_factory=dict)
    """First good reading of all time."""
    minutes: Mapping[str, MinuteHealth] = field(default_factory=dict)
    states: Mapping[str, Sequence[StateChange]] = field(default_factory=dict)
    counters: Sequence[CounterReadings] = ()
    lateness: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Device -> milliseconds from source (or read) to store -> readings (of one tag), over the
    window's last day (in a report; over its last hour where the service computes)."""
    quality: Mapping[str, ReadingQuality] = field(default_factory=dict)
    connections: Sequence[ConnectionChange] = ()
    gaps: Sequence[DroppedValues] = ()
    states_until: int | None = None
    """States and plan go on to here, to tell when a failure of the window was over; None: to its
    end."""
    timezone: str = "UTC"
    """The plant's, for times in sentences."""
    plan: Sequence[PlannedChange] = ()
    """Empty: there is no shift calendar, and all time counts as planned."""
    stored: Mapping[str, StoredSignals] = field(default_factory=dict)
    """Device -> what the store has of its own values; of a device that is missing nobody looked."""

    @property
    def known_until(self) -> int:
        """Where the states end (ns)."""
        return self.end if self.states_until is None else self.states_until

    @property
    def history_start(self) -> int:
        """Where the health by minute begins."""
        return min(self.start, self.end - HISTORY_NS)

    def minutes_of(self, device: str) -> MinuteHealth:
        """Empty for a device without health rows."""
        return self.minutes.get(device) or MinuteHealth(())

    @property
    def hours(self) -> Fraction:
        return Fraction(self.end - self.start, 3600 * _S)
