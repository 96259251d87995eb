"""A week of a small plant with known truth, and with the faults that counters, agents and people
make.

Minute readings of four machines and a meter from Tuesday 27 October 2026, 18:00 to Wednesday 4
November, 04:00 (Asia/ Shanghai); the week is Wednesday to Tuesday, and the month ends in it. All is
integers: minutes, parts, tenths and hundredths of a kWh. What a machine does is drawn first
(`truth`), what is read of it second (`readings`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from edge_agent.ingest import decode
from edge_agent.stores import Rows, WriteBatch
from tests.support.count_plant import DAY, MINUTE, T0, CountPlant, S

#: Minutes from the week's first midnight: what is read, the week, and the month's end in it.
FIRST, LAST, WEEK, MONTH_END = -6 * 60, 7 * 1440 + 240, 7 * 1440, 4 * 1440
#: The week's first midnight, ns after T0.
START: Final = 16 * DAY
#: The months, ns after T0.
OCTOBER, NOVEMBER = (-11 * DAY, 20 * DAY), (20 * DAY, 50 * DAY)
EXECUTING, STANDING, OUT_OF_SERVICE = 3, 2, 1
U16, U32 = 1 << 16, 1 << 32
#: When the CT ratio of m4 is corrected, its raw count multiplied by 4 and by 6 hundredths of a kWh.
RESCALED: Final = 2 * 1440 + 15 * 60
EXCHANGED: Final = 5 * 1440 + 10 * 60
#: The new meter's first reading, tenths of a kWh.
NEW_METER: Final = 880_000

Longs = npt.NDArray[np.int64]

_MACHINE: Final = """
  - id: {id}
    connector: modbus
    url: tcp://127.0.0.1:{port}
    every: 1m
    state: {{item: [{{gives: Executing}}], mode: [{{gives: Processing}}]}}
    tags:
      parts_total: {{address: holding/0, type: {kind}}}
      parts_scrap: {{address: holding/2, type: {kind}}}
"""
_ENERGY: Final = "      energy: {address: holding/8, type: float64, unit: kWh}\n"
_PULSES: Final = "      energy: {{address: holding/8, type: uint32, scale: {scale}, unit: kWh}}\n"
_METER: Final = """
  - id: meter
    connector: modbus
    url: tcp://127.0.0.1:9
    every: 1m
    tags:
      import: {address: holding/0, type: float64, unit: kWh}
"""
EQUIPMENT: Final = """\
equipment_id,name_zh,category,in_scope,status,workshop,line,control_class,digital,interface,networked_declared,\
gateway_device,is_robot,nominal_cycle_s,rated_power_kw,commissioned,retired_on,schedule_id
EQ-1,车床,machining,Y,in_use,W,L1,cnc,Y,modbus_tcp,Y,m1,N,40,,,,two
EQ-2,铣床,machining,Y,in_use,W,L1,cnc,Y,modbus_tcp,Y,m2,N,25,20,,,two
EQ-3,旧磨床,machining,Y,in_use,W,L2,cnc,Y,modbus_tcp,Y,m3,N,50,,,2026-10-30,two
EQ-4,钻床,machining,Y,in_use,W,L2,cnc,Y,modbus_tcp,Y,m4,N,100,,,,two
EQ-5,新磨床,machining,Y,in_use,W,L2,cnc,Y,modbus_tcp,Y,m3,N,50,,2026-10-31,,two
EQ-9,电表,meter,N,in_use,W,L1,none,Y,modbus_tcp,Y,meter,N,,,,,two
"""
CALENDAR: Final = """\
timezone: Asia/Shanghai
schedules:
  two:
    shifts: [{name: day, start: '8:00', end: '20:00'}, {name: late, start: '20:00', end: '4:00'}]
    breaks: [{start: '12:00', end: '12:30'}]
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault, and by which event it has to be named."""

    device: str
    tag: str
    minute: int
    """Of its first reading."""
    shown: tuple[int, ...]
    """What was read instead, minute by minute, in the unit of the truth."""
    kinds: tuple[str, ...]
    """One of these."""


def devices(scale: str) -> str:
    """The configuration; `scale`: of m4's energy."""
    text = "devices:" + _MACHINE.format(id="m1", port=1, kind="uint16")
    text += _MACHINE.format(id="m2", port=2, kind="uint32") + _ENERGY
    text += _MACHINE.format(id="m3", port=3, kind="uint32") + _ENERGY
    text += _MACHINE.format(id="m4", port=4, kind="uint32") + _PULSES.format(scale=scale)
    return text + _METER


@dataclass(eq=False)
class Truth:
    """What one device did: arrays by minute from FIRST on (`minute - FIRST` is the place)."""

    item: Longs
    """State from this minute to the next; empty of a meter."""
    counted: dict[str, Longs]
    """Tag -> everything counted up to this minute, in `unit`."""
    shown: dict[str, Longs]
    """Tag -> what its register shows at this minute when it is read well, in `unit`."""
    unit: Mapping[str, Fraction]
    """Tag -> pieces or kWh of one."""
    known: npt.NDArray[np.bool_]
    """Whether it is read from this minute to the next."""
    read: npt.NDArray[np.bool_] = field(init=False)
    """Whether there is a reading at this minute."""

    def __post_init__(self) -> None:
        self.read = self.known | np.append(False, self.known[:-1])

    def between(self, tag: str, start: int, end: int) -> Fraction:
        """What was counted between two minutes, in pieces or kWh."""
        column = self.counted[tag]
        return int(column[end - FIRST] - column[start - FIRST]) * self.unit[tag]


MINUTES: Final = np.arange(FIRST, LAST + 1)
OF_DAY: Final = MINUTES % 1440
SHIFT: Final = (OF_DAY >= 8 * 60) | (OF_DAY < 4 * 60)
BREAK: Final = (OF_DAY >= 12 * 60) & (OF_DAY < 12 * 60 + 30)
PLANNED: Final = SHIFT & ~BREAK


class FaultWeek:
    """The truth of one seed, its faults, and the plant they are read into."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.truth = {name: self._machine(name) for name in ("m1", "m2", "m3", "m4")}
        self.truth["meter"] = self._meter()
        self.faults = [*self._part_faults(), *self._energy_faults()]
        for fault in self.faults:
            place = fault.minute - FIRST
            self.truth[fault.device].shown[fault.tag][place : place + len(fault.shown)] = (
                fault.shown
            )

    def _near(self, minute: int, by: int = 9) -> int:
        return minute + self._random.randint(-by, by)

    # --- truth ------------------------------------------------------------------------------------

    def _machine(self, name: str) -> Truth:
        item = np.where(PLANNED, EXECUTING, STANDING)
        item[(OF_DAY >= 600) & (OF_DAY < 610)] = STANDING
        if name == "m1":  # overtime
            item[(MINUTES >= 1440 * 2 + 300) & (MINUTES < 1440 * 2 + 360)] = EXECUTING
        if name == "m2":  # a failure over midnight
            began, ended = self._near(2 * 1440 - 20), self._near(2 * 1440 + 30)
            item[(began <= MINUTES) & (ended > MINUTES)] = OUT_OF_SERVICE
        if name == "m4":  # it stands for a shift, in which scrap of the days before is booked
            item[(MINUTES >= 1440 * 4 + 1200) & (MINUTES < 1440 * 5 + 240)] = STANDING
        works = np.append(0, (item == EXECUTING)[:-1])
        made = np.cumsum(works * (2 if name == "m2" else 1))
        scrap = made // self._random.randint(30, 60)
        if name == "m4":
            scrap = np.cumsum(
                np.append(0, np.diff(scrap))
                + (
                    (item == STANDING)
                    & SHIFT
                    & (MINUTES % 10 == 9)
                    & (MINUTES > 1440 * 4 + 1200)
                    & (MINUTES < 1440 * 5 + 240)
                )
            )
        counted = {"parts_total": made, "parts_scrap": scrap}
        shown = {"parts_total": made + 70, "parts_scrap": scrap + 5}
        if name == "m1":
            shown = {"parts_total": (made + 60_500) % U16, "parts_scrap": scrap}
        if name == "m2":  # set to zero at each day's first shift, and once in the middle of one
            resets = np.flatnonzero((OF_DAY == 480) | (MINUTES == 2 * 1440 + 780))
            zero = np.zeros(len(made), np.int64)
            for place in resets.tolist():
                zero[place:] = made[place] if OF_DAY[place] == 480 else made[place - 1]
            shown["parts_total"] = made - zero
        unit = dict.fromkeys(counted, Fraction(1))
        if name != "m1":
            self._energy(name, works, counted, shown, unit)
        return Truth(item, counted, shown, unit, self._known(name))

    def _energy(
        self,
        name: str,
        works: Longs,
        counted: dict[str, Longs],
        shown: dict[str, Longs],
        unit: dict[str, Fraction],
    ) -> None:
        """m2: 0.3 kWh a minute at work, its meter set to zero while it stands; m3: 0.1; m4: five
        pulses."""
        if name == "m4":
            pulses = np.cumsum(5 * works)
            weight = np.where(MINUTES >= RESCALED, 6, 4)
            # the step across counts in the new scaling
            counted["energy"] = np.cumsum(5 * works * weight)
            shown["energy"], unit["energy"] = (pulses + 20_000) * weight, Fraction(1, 100)
            return
        counted["energy"] = np.cumsum(works * (3 if name == "m2" else 1))
        shown["energy"], unit["energy"] = counted["energy"] + 300_000, Fraction(1, 10)
        if name == "m2":
            place = int(np.searchsorted(MINUTES, 5 * 1440 + 300))
            shown["energy"][place:] -= shown["energy"][place] - 10

    def _meter(self) -> Truth:
        counted = 2 * (MINUTES - FIRST)
        place = EXCHANGED - FIRST
        shown = np.where(
            MINUTES < EXCHANGED, counted + 120_000, counted - counted[place] + NEW_METER
        )
        none = np.zeros(0, np.int64)
        return Truth(
            none,
            {"import": counted},
            {"import": shown},
            {"import": Fraction(1, 10)},
            self._known("meter"),
        )

    def _known(self, name: str) -> npt.NDArray[np.bool_]:
        known = np.ones(len(MINUTES), bool)
        known[-1] = False
        for start, end in self.outages(name):
            known[start - FIRST : end - FIRST] = False
        return known

    def outages(self, name: str) -> list[tuple[int, int]]:
        """When nothing is read of a device: over a midnight, a shift's end, the month's end (m2: it
        comes late)."""
        return {
            "m1": [(1440 - 90, 1440 + 90), (2 * 1440 + 1095, 2 * 1440 + 1300)],
            "m2": [(MONTH_END - 110, MONTH_END + 110)],
            "m4": [(5 * 1440 + 1140, 5 * 1440 + 1230)],
            "meter": [(MONTH_END - 240, MONTH_END + 360), (EXCHANGED - 3, EXCHANGED + 3)],
        }.get(name, [])

    # --- faults -----------------------------------------------------------------------------------

    def _part_faults(self) -> Iterator[Fault]:
        near = self._near
        up, down = ("glitch",), ("false_zero",)
        part = "parts_total"
        yield Fault("m1", part, near(630), (U16 - 1,), up)
        yield Fault("m1", part, near(1440 + 555), (0,), down)
        yield Fault("m1", part, near(1440 + 850), (U16 - 1, U16 - 2), up)
        yield Fault("m1", part, 1440 + 1200, (U16 - 1,), up)
        yield Fault("m1", part, 2 * 1440, (U16 - 1,), up)
        yield Fault("m1", part, 5 * 1440 + 1200, (0,), down)
        yield Fault("m1", part, near(6 * 1440 + 660), (0, 0), down)
        yield Fault("m1", part, near(6 * 1440 + 850), (U16 - 1, 0), up)
        yield Fault("m1", "parts_scrap", near(3 * 1440 + 850), (U16 - 1,), up)
        yield Fault("m2", part, near(1440 + 900), (U32 - 1,), up)
        yield Fault("m2", part, near(1440 + 960), (U32 - 1, U32 - 2), up)
        yield Fault("m2", part, 1440 + 1200, (U32 - 1,), up)
        yield Fault("m2", part, 3 * 1440, (0,), down)
        yield Fault("m2", part, near(2 * 1440 + 960), (U32 - 1, 0), up)
        yield Fault("m2", part, 3 * 1440 + 479, (U32 - 1,), ("jump", "glitch"))
        yield Fault("m3", part, near(1440 + 700), (U32 - 1,), up)
        yield Fault("m3", part, near(2 * 1440 + 700), (0,), down)
        yield Fault("m4", part, near(6 * 1440 + 700), (65_535,), up)

    def _energy_faults(self) -> Iterator[Fault]:
        near = self._near
        up, down = ("glitch",), ("false_zero",)
        yield Fault("m2", "energy", near(1440 + 660), (0,), down)
        yield Fault("m2", "energy", near(2 * 1440 + 1020), (0, 0), down)
        yield Fault("m2", "energy", near(3 * 1440 + 900), (42_949_670,), up)
        yield Fault("m4", "energy", MONTH_END, (42_949_670,), up)
        yield Fault("m4", "energy", near(1440 + 1050), (0,), down)
        yield Fault("meter", "import", 1440, (0,), down)
        yield Fault("meter", "import", near(6 * 1440 + 900), (42_949_670, 42_949_670), up)

    @property
    def exchange_file(self) -> str:
        """`register.meters` as a person writes it."""
        last = int(self.truth["meter"].counted["import"][EXCHANGED - FIRST] + 120_000)
        row = f"meter,import,2026-11-02 10:00,{last / 10},{NEW_METER / 10},王工\n"
        return "采集设备,变量,换表时间,旧表末次读数,新表首次读数,记录人\n" + row

    def decisions_file(self) -> str:
        """`register.events`: all that was set aside stays aside."""
        rows = [
            f"{fault.device},{fault.tag},{clock(fault.minute + place)},set_aside\n"
            for fault in self.faults
            for place in range(len(fault.shown))
        ]
        return "device,tag,time,decision\n" + "".join(rows)

    # --- what is read -----------------------------------------------------------------------------

    def plant(self, folder: Path) -> CountPlant:
        """The plant, its devices announced; the CT ratio is corrected by a second birth."""
        files = {"equipment": EQUIPMENT, "calendar": CALENDAR}
        made = CountPlant(folder, devices=devices("0.04"), files=files)
        made.born(ns(FIRST))
        made.devices = devices("0.06")
        made.born(ns(RESCALED) - 30 * S)
        return made

    def tell(self, made: CountPlant, start: int, end: int, *, without: Sequence[str] = ()) -> None:
        """What is read at the minutes `start..end`: in pieces that come in any order, some
        documents twice."""
        pieces = [
            (device, begin, min(begin + 600, end))
            for device in self.truth
            if device not in without
            for begin in range(start, end, 600)
        ]
        self._random.shuffle(pieces)
        for piece in pieces:
            self._write(made, *piece, self.truth[piece[0]].read)

    def tell_late(self, made: CountPlant, device: str) -> None:
        """What a device read in its outages comes after all."""
        for start, end in self.outages(device):
            self._write(made, device, start, end, np.ones(len(MINUTES), bool))
            self.truth[device].known[start - FIRST : end - FIRST] = True

    def _write(
        self, made: CountPlant, device: str, start: int, end: int, read: npt.NDArray[np.bool_]
    ) -> None:
        truth, places = self.truth[device], slice(start - FIRST, end - FIRST)
        columns = {
            tag: in_unit(column[places], truth.unit[tag]) for tag, column in truth.shown.items()
        }
        if len(truth.item):
            columns |= {
                "machine_state": truth.item[places].tolist(),
                "operation_mode": [3] * (end - start),
            }
        documents = [
            {"v": 1, "device": device, "t": T0 + ns(start + place),
             "values": {tag: column[place] for tag, column in columns.items()}}
            for place in np.flatnonzero(read[places]).tolist()
        ]  # fmt: skip
        known = (truth.known if read is truth.read else read)[places]
        health = [health_row(device, start + a, start + b) for a, b in blocks_of(known, 10)]
        documents += self._random.sample(documents, len(documents) // 50)
        rows = [
            decode.data(decode.document(orjson.dumps(each)), made.store.catalogue)
            for each in documents
        ]
        if rows:
            made.store.write(WriteBatch(Rows.of(rows), T0 + 60 * DAY, health=health))


def ns(minute: int) -> int:
    """A minute as ns after T0."""
    return START + minute * MINUTE


def clock(minute: int) -> str:
    """A minute by the plant's clock."""
    day, rest = divmod(minute, 1440)
    date = f"2026-10-{28 + day}" if day < 4 else f"2026-11-{day - 3:02}"
    return f"{date} {rest // 60:02}:{rest % 60:02}"


def in_unit(column: Longs, unit: Fraction) -> list[int] | list[float]:
    """Pieces or kWh as a payload has them."""
    return column.tolist() if unit == 1 else (column / unit.denominator).tolist()


def blocks_of(flags: npt.NDArray[np.bool_], most: int) -> Iterator[tuple[int, int]]:
    """Stretches that are True, cut to at most so many places."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for begin in range(start, end, most):
            yield begin, min(begin + most, end)


def health_row(device: str, start: int, end: int) -> dict[str, Any]:
    """Minutes in which its values were current."""
    t, seconds, polls = T0 + ns(end), 60.0 * (end - start), end - start
    return {
        "device": device,
        "t": t,
        "period_s": seconds,
        "scheduled_s": seconds,
        "covered_s": seconds,
        "due": polls,
        "done": polls,
        "good": polls,
        "bad": 0,
        "values": polls,
        "overruns": 0,
        "state": "online",
        "reason": "",
        "last_good_t": t,
    }
