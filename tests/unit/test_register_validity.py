"""Which machines a window counts, which version of a register is valid in it, and what a store
keeps of registers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_agent.errors import Finding
from edge_agent.production.registers import keep, valid_register
from edge_agent.register.kinds import MachineKinds, published
from edge_agent.register.membership import Absence, Membership
from edge_agent.register.model import Equipment, Process, Register, canonical, from_canonical
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.registers import RegisterStore, RegisterVersion, packed, unpacked, valid_at
from edge_agent.stores.remote.sidecar import Sidecar
from tests.support import report_plant as golden

S = 1_000_000_000
HOUR, DAY = 3600 * S, 86_400 * S
ZONE = ZoneInfo("Asia/Shanghai")
#: Midnight of 2026-10-01 in Dongguan.
OCTOBER = 1_790_784_000 * S
NOVEMBER = OCTOBER + 31 * DAY


def members(
    *rows: Equipment, start: int | None = OCTOBER, end: int | None = NOVEMBER
) -> Membership:
    return Membership(Register(rows), start, end, ZONE)


@pytest.mark.parametrize(
    ("cells", "absent", "span"),
    [
        ({}, None, (OCTOBER, NOVEMBER)),
        ({"in_scope": False}, "out_of_scope", (OCTOBER, NOVEMBER)),
        ({"status": "scrapped"}, "scrapped", None),
        ({"status": "under_repair"}, "under_repair", None),
        ({"status": "scrapped", "retired_on": date(2026, 11, 1)}, None, (OCTOBER, NOVEMBER)),
        (
            {"status": "scrapped", "retired_on": date(2026, 10, 31)},
            "scrapped",
            (OCTOBER, NOVEMBER - DAY),
        ),
        ({"retired_on": date(2026, 10, 2)}, "retired", (OCTOBER, OCTOBER + DAY)),
        ({"retired_on": date(2026, 10, 1)}, "retired", None),
        ({"commissioned": date(2026, 11, 1)}, "not_commissioned", None),
        ({"commissioned": date(2026, 10, 31)}, None, (NOVEMBER - DAY, NOVEMBER)),
        ({"commissioned": date(2016, 5, 1)}, None, (OCTOBER, NOVEMBER)),
        ({"commissioned": date(2026, 10, 9), "retired_on": date(2026, 10, 9)}, "retired", None),
    ],
)
def test_who_counts_at_the_end_and_who_worked(
    cells: dict[str, object], absent: Absence | None, span: tuple[int, int] | None
) -> None:
    machine = Equipment("EQ-1", **cells)  # type: ignore[arg-type]
    found = members(machine)
    assert found.absence(machine) == absent
    assert found.machines == (() if absent else (machine,))
    assert found.span(machine) == span
    assert found.working == ((machine,) if span and machine.in_scope else ())
    # Any split of the window: the two spans together are that of the whole.
    for cut in (OCTOBER + DAY, OCTOBER + 17 * DAY + HOUR, NOVEMBER - 1):
        parts = [
            members(machine, start=a, end=b).span(machine)
            for a, b in ((OCTOBER, cut), (cut, NOVEMBER))
        ]
        assert sum(b - a for a, b in filter(None, parts)) == (span[1] - span[0] if span else 0)


def test_without_a_window_no_date_is_looked_at_and_a_snapshot_is_its_moment() -> None:
    late = Equipment("EQ-1", commissioned=date(2040, 1, 1))
    assert members(late, start=None, end=None).machines == (late,)
    assert members(late, start=None).machines == ()
    gone = Equipment("EQ-2", status="scrapped", retired_on=date(2026, 11, 2))
    assert members(gone, start=None).machines == (gone,)
    assert members(gone, start=None, end=NOVEMBER + 2 * DAY).machines == ()


def test_a_device_handed_on_speaks_for_each_machine_in_its_time() -> None:
    old = Equipment("EQ-1", gateway_device="d1", status="scrapped", retired_on=date(2026, 10, 10))
    new = Equipment("EQ-2", gateway_device="d1", commissioned=date(2026, 10, 10))
    found = members(old, new)
    assert found.alone(old)
    assert found.alone(new)
    overlapping = Equipment("EQ-2", gateway_device="d1", commissioned=date(2026, 10, 9))
    assert not members(old, overlapping).alone(old)
    second = Equipment("EQ-3", gateway_device="d2;d1")
    assert members(Equipment("EQ-1", gateway_device="d1"), second).alone(second), (
        "only the primary device speaks"
    )


def test_a_register_is_the_same_after_it_was_kept() -> None:
    known = golden.register()
    again = from_canonical(canonical(known))
    assert again.version == known.version
    assert len(again.equipment) == len(known.equipment)
    note = Finding("x", "r.csv:2:a", "中文。", "English.")
    assert unpacked(packed(known, [note])) == (again, (note,))
    with pytest.raises(ValueError, match=r"."):
        unpacked("bm90aGluZw==")


def version(name: str, valid_from: int, kept_at: int) -> RegisterVersion:
    return RegisterVersion(name, valid_from, kept_at)


@pytest.mark.parametrize(
    ("end", "name"),
    [(5, "first"), (10, "first"), (11, "first"), (20, "first"), (21, "corrected"), (31, "third")],
)
def test_the_version_valid_at_the_end(end: int, name: str) -> None:
    versions = [
        version("first", 10, 1),
        version("second", 20, 2),
        version("third", 30, 3),
        version("corrected", 20, 4),
    ]
    found = valid_at(versions, end)
    assert found is not None
    assert found.version == name
    assert valid_at([], end) is None


@pytest.fixture(params=["duckdb", "sidecar"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegisterStore]:
    """The embedded store, and what remote stores keep beside them."""
    path = tmp_path / request.param
    with closing(DuckDbStore(path) if request.param == "duckdb" else Sidecar(path)) as opened:
        yield opened


def test_a_store_keeps_versions_and_each_once(store: RegisterStore) -> None:
    first = Register((Equipment("EQ-1"),), (Process("P1"),))
    second = Register((Equipment("EQ-1", status="scrapped"),), first.processes)
    now = OCTOBER + 12 * HOUR
    kept = keep(store, first, (), now, ZONE)
    assert kept is not None
    assert kept.valid_from == OCTOBER, "from the beginning of the day on which it was first used"
    assert keep(store, first, (), now + 5 * DAY, ZONE) is None
    assert keep(store, second, (), now + 40 * DAY, ZONE) is not None
    assert keep(store, first, (), now + 40 * DAY, ZONE) is not None, (
        "back again the same day: the last one counts"
    )
    assert keep(store, second, (), now + 41 * DAY, ZONE) is not None
    for end, register in ((OCTOBER - DAY, first), (NOVEMBER, first), (NOVEMBER + 11 * DAY, second)):
        found = valid_register(store, end)
        assert found is not None
        assert found[1].version == register.version
    corrected = keep(store, second, (), now + 42 * DAY, ZONE, valid_from=OCTOBER)
    assert corrected is not None
    found = valid_register(store, NOVEMBER)
    assert found is not None
    assert found[1].version == second.version


def test_kept_registers_outlive_the_retention(tmp_path: Path) -> None:
    with closing(DuckDbStore(tmp_path / "s.duckdb", days=1)) as store:
        keep(store, Register((Equipment("EQ-1"),)), (), OCTOBER, ZONE)
        store.retain(OCTOBER + 900 * DAY)
        assert valid_register(store, NOVEMBER) is not None


def test_the_table_of_kinds_is_reviewed_and_says_why() -> None:
    kinds = published()
    assert {"industrial_robot", "smt_placer", "automatic_tester"} <= kinds.keys()
    for kind in kinds.values():
        assert all((kind.zh, kind.en, kind.reason_zh, kind.reason_en, kind.source))
        date.fromisoformat(kind.reviewed_on)
    assert MachineKinds.read(kinds.to_csv()).to_csv() == kinds.to_csv()
    with pytest.raises(ValueError, match="kinds"):
        MachineKinds.read(kinds.to_csv().replace(b",Y,", b",maybe,", 1))
