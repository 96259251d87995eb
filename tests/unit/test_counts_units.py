"""A tag's unit changes in the middle of a history: each part is counted in its own unit, and then
converted.

Each answer is computed by hand in the docstring beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from edge_agent.metrics.epochs import TagDefinition
from edge_agent.production.counting import TagMeanings
from edge_agent.production.roles import conversion
from edge_agent.register.model import Register
from edge_agent.stores.definitions import DefinitionChange, differs
from tests.support.count_plant import (
    DAY,
    DEVICES,
    HOUR,
    MACHINE,
    METER,
    MINUTE,
    CountPlant,
    Reading,
    each_minute,
)
from tests.unit.test_counts_possible import counting

NOON = 12 * HOUR
#: The raw number of a register of Wh, or of kWh: 660 kWh at midnight, 1 kWh a minute.
WH, KWH = ([660_000 + 1000 * i for i in range(1441)], [660 + i for i in range(1441)])

#: (unit, scale, raw) until noon and since.
CHANGES = {
    "Wh to kWh, the same register": (("Wh", "1", WH), ("kWh", "0.001", WH)),
    "kWh to Wh, the same register": (("kWh", "0.001", WH), ("Wh", "1", WH)),
    "kWh to MWh, the same register": (("kWh", "1", KWH), ("MWh", "0.001", KWH)),
    "kWh to Wh, the meter shows another unit": (("kWh", "1", KWH), ("Wh", "1", WH)),
    "Wh to kWh, the meter shows another unit": (("Wh", "1", WH), ("kWh", "1", KWH)),
    "Wh to kWh, register and scale change": (
        ("Wh", "10", [n // 10 for n in WH]),
        ("kWh", "0.1", [10 * n for n in KWH]),
    ),
}


def every_ten(start: int, values: Sequence[float]) -> list[Reading]:
    """Of values of each minute those of every tenth."""
    return each_minute(start, values)[::10]


def rewritten(made: CountPlant, unit: str, scale: str, t: int) -> None:
    """The meter's tag is defined anew."""
    made.devices = DEVICES.replace("unit: kWh", f"unit: {unit}, scale: {scale}")
    made.born(t)


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_c_a_unit_and_its_scale_change_at_once(
    tmp_path: Path, case: tuple[tuple[str, str, list[int]], ...]
) -> None:
    """1 kWh a minute for 1440 minutes: 1440 kWh, 720 in each half, 15 in the quarters beside noon;
    not 660 780."""
    with counting(tmp_path) as made:
        for (unit, scale, raw), since, until in zip(case, (0, 720), (720, 1441), strict=True):
            rewritten(made, unit, scale, since * MINUTE - MINUTE // 2 if since else 0)
            values = [float(Fraction(raw[i]) * Fraction(scale)) for i in range(since, until)]
            made.write("meter", "import", every_ten(since * MINUTE, values))
        coal = made.figures(0, DAY)["M-19@line:L1"]
        assert coal.details["kwh"] == 1440
        halves = [
            made.figures(*half)["M-19@line:L1"].details["kwh"] for half in ((0, NOON), (NOON, DAY))
        ]
        assert halves == [720, 720]
        quarters = [
            made.figures(t, t + 15 * MINUTE)["M-19"].details["kwh"]
            for t in (NOON - 15 * MINUTE, NOON)
        ]
        assert quarters == [15, 15]


def test_a_wrong_label_that_is_corrected_counts_nothing_across(tmp_path: Path) -> None:
    """Raw 660 rising by 1 a minute, called kWh until noon and MWh since: 720 raw steps, of which
    720 and their unit. The step across goes on with the raw number: 710 x 1 kWh + 730 x 1000 kWh,
    and not 1 379 000 more."""
    with counting(tmp_path) as made:
        rewritten(made, "kWh", "1", 0)
        made.write("meter", "import", every_ten(0, KWH[:720]))
        rewritten(made, "MWh", "1", NOON - MINUTE // 2)
        made.write("meter", "import", every_ten(NOON, KWH[720:]))
        used = made.figures(0, DAY)["M-19"].details["kwh"]
        assert used == 710 + 730_000


@pytest.mark.parametrize(
    ("units", "known"), [(("kWh", "m3"), (0, NOON)), (("m3", "kWh"), (NOON, DAY))]
)
def test_an_incompatible_unit_is_no_sum(
    tmp_path: Path, units: tuple[str, str], known: tuple[int, int]
) -> None:
    """Of the part in kWh the sum, 1 kWh a minute (710 up to the last reading before noon, and none
    across); of the other part and of the whole null, and why, for the line and for the site."""
    with counting(tmp_path) as made:
        for unit, since, until in zip(units, (0, 720), (720, 1441), strict=True):
            rewritten(made, unit, "1", since * MINUTE)
            made.write("meter", "import", every_ten(since * MINUTE, KWH[since:until]))
        for window in ((0, NOON), (NOON, DAY), (0, DAY), (NOON - HOUR, NOON + HOUR)):
            found = made.figures(*window)
            for key in ("M-19@line:L1", "M-19", "M-18@line:L1"):
                if window == known and key != "M-18@line:L1":
                    assert found[key].details["kwh"] in (710, 720), window
                elif window != known:
                    assert found[key].value is None
                    reason = found[key].reason
                    assert reason is not None
                    assert "m3" in reason.en, key
                    assert "unit" in reason.zh


def test_a_unit_that_was_not_said_before_a_new_scaling_is_unknown() -> None:
    """Without unit and with scale 1, then kWh with 0.001: what the first numbers were nobody can
    say. With the same scaling the unit was written down later, no more."""
    own = TagDefinition(unit="kWh")
    for scale, factor in (("0.001", None), ("1", 1)):
        before = '{"type": "int", "address": "holding/0", "unit": ""}'
        after = f'{{"type": "int", "address": "holding/0", "unit": "kWh", "scale": {scale}}}'
        meanings = TagMeanings.of(after, [DefinitionChange(1, NOON, before, after)], own)
        assert meanings.first.factor == factor
        assert meanings.at(NOON).factor == 1
        assert meanings.first.unit == ("" if factor is None else "kWh")


def test_units_as_rows_of_before_say_them() -> None:
    """A row of before units were kept says nothing of them: the unit is that of the configuration,
    as it was."""
    row = DefinitionChange(
        1, NOON, '{"type": "int", "address": "a"}', '{"type": "float", "address": "a"}'
    )
    meanings = TagMeanings.of("", [row], TagDefinition(unit="Wh"))
    assert (meanings.first.factor, meanings.at(NOON).factor) == (1, 1)
    assert differs({"address": "a", "unit": "Wh"}, {"address": "a", "unit": "kWh"})
    assert differs({"unit": "Wh"}, {"unit": "kWh"})
    assert not differs({}, {"unit": "kWh"})


def test_conversions() -> None:
    assert conversion("MWh", "Wh") == 1_000_000
    assert conversion("千件", "pcs") == 1000
    assert conversion("W", "kW") == Fraction(1, 1000)
    for unit, into in (("m3", "kWh"), ("kW", "kWh"), ("", "kWh"), ("箱", "件")):
        assert conversion(unit, into) is None
    assert conversion("箱", "箱") == 1


@pytest.mark.parametrize("first", ["", ", unit: 件"])
@pytest.mark.parametrize(
    ("unit", "scale", "factor", "made_parts"),
    [("pcs", "1", 1, 1440), ("千件", "0.001", 0.001, 1440), ("箱", "1", 1, None)],
)
def test_parts_and_their_unit(
    tmp_path: Path, first: str, unit: str, scale: str, factor: float, made_parts: int | None
) -> None:
    """One part a minute, without unit and then in pieces: a label, 1440; in thousands, each 0.001:
    the same register, 1440; in boxes: null, unless it is the first word on it."""
    if not first and unit == "箱":
        made_parts = 1440
    with counting(tmp_path) as made:
        made.devices = DEVICES.replace("type: uint32%(parts)s", f"type: uint32{first}")
        made.born(0)
        made.write("m1", "parts_total", every_ten(0, list(range(720))))
        made.devices = DEVICES.replace(
            "type: uint32%(parts)s", f"type: uint32, unit: {unit}, scale: {scale}"
        )
        made.born(NOON)
        made.write("m1", "parts_total", every_ten(NOON, [i * factor for i in range(720, 1441)]))
        counted = made.plant(0, DAY).counted("m1", "produced")
        assert (
            None if counted is None else round(float(made.produced(0, DAY) or 0), 9)
        ) == made_parts


POWER = """\
  - id: m1
    connector: modbus
    url: tcp://127.0.0.1:1
    every: 1m
    tags:
      power: {address: holding/0, type: float64, unit: %s, scale: %s}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [(("W", "1"), ("kW", "0.001")), (("kW", "0.001"), ("W", "1")), (("W", "1"), ("kW", "1"))],
)
def test_power_in_another_unit(
    tmp_path: Path, before: tuple[str, str], after: tuple[str, str]
) -> None:
    """5 kW for 24 hours: 120 kWh. The last reading in the old unit holds until the first one in the
    new unit, a minute after the definition: no minute of 5000 kW."""
    shown = {"W": 5000.0, "kW": 5.0}
    with counting(tmp_path, register=Register((MACHINE,))) as made:
        made.devices = "devices:\n" + POWER % before
        made.born(0)
        made.write("m1", "power", every_ten(0, [shown[before[0]]] * 720))
        made.devices = "devices:\n" + POWER % after
        made.born(NOON - MINUTE // 2)
        made.write("m1", "power", every_ten(NOON, [shown[after[0]]] * 721))
        made.alive("m1", 0, DAY)
        for window, kwh in (
            ((0, DAY), 120),
            ((0, NOON), 60),
            ((NOON, DAY), 60),
            ((NOON - HOUR, NOON + HOUR), 10),
        ):
            used = made.figures(*window)["M-19@line:L1"].details["kwh"]
            assert used == pytest.approx(kwh, abs=1e-6)


# --- a line's meter that was not always there -----------------------------------------------------

_MORE = """\
  - id: meter-2
    connector: modbus
    url: tcp://127.0.0.1:3
    every: 1m
    tags:
      import: {address: holding/0, type: float64, unit: kWh}
"""
NEXT_DAY = date(2026, 10, 13)


@pytest.mark.parametrize(
    "how", ["first read at noon", "commissioned the next day", "retired the next day"]
)
def test_a_lines_meter_that_comes_or_leaves_in_the_window(tmp_path: Path, how: str) -> None:
    """The line 10 kWh/h by its meter, of which the machine has 3 kWh/h by its own. First read at
    noon: 12 x 3, and then 12 x 10 = 156 of the day. Commissioned (or retired) at the second
    midnight: 72 + 240 = 312 of the two days. The windows before and after add up to it; only those
    in which the machine stands in are provisional, and say so."""
    meters = {
        "first read at noon": (METER, NOON, 0, DAY, NOON, 36, 120),
        "commissioned the next day": (
            replace(METER, commissioned=NEXT_DAY),
            0,
            0,
            2 * DAY,
            DAY,
            72,
            240,
        ),
        "retired the next day": (replace(METER, retired_on=NEXT_DAY), 0, 0, 2 * DAY, DAY, 240, 72),
    }
    meter, first, start, end, joint, early_kwh, late_kwh = meters[how]
    machine = replace(MACHINE, meter_id="meter-2")
    with counting(tmp_path, devices=DEVICES + _MORE, register=Register((machine, meter))) as made:
        made.born()
        made.write("meter", "import", [(t, 10.0 * t / HOUR) for t in range(first, end + 1, HOUR)])
        made.write("meter-2", "import", [(t, 3.0 * t / HOUR) for t in range(start, end + 1, HOUR)])
        for key in ("M-19@line:L1", "M-19"):
            early, late, whole = (
                made.figures(*window)[key]
                for window in ((start, joint), (joint, end), (start, end))
            )
            assert (early.details["kwh"], late.details["kwh"]) == (early_kwh, late_kwh)
            assert whole.details["kwh"] == early_kwh + late_kwh
            assert whole.provisional
            assert any("stands in" in note.en for note in whole.notes)
            assert set(whole.details["measured_by"]) == {"EQ-1", "EQ-9"}
        whole_again = made.figures(start, end)["M-19@line:L1"]
        assert sum("stands in" in note.en for note in whole_again.notes) == 1


def test_a_second_meter_of_a_line_needs_no_stand_in(tmp_path: Path) -> None:
    """One meter all along (10 kWh/h), a second one from noon on (4 kWh/h): 240 + 48, and nothing of
    machines."""
    second = replace(METER, equipment_id="EQ-8", gateway_device="meter-2")
    with counting(
        tmp_path, devices=DEVICES + _MORE, register=Register((MACHINE, METER, second))
    ) as made:
        made.born()
        made.write("meter", "import", [(t, 10.0 * t / HOUR) for t in range(0, DAY + 1, HOUR)])
        made.write("meter-2", "import", [(t, 4.0 * t / HOUR) for t in range(NOON, DAY + 1, HOUR)])
        coal = made.figures(0, DAY)["M-19@line:L1"]
        assert (coal.details["kwh"], coal.provisional) == (288, False)
