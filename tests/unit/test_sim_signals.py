"""How tags of an unknown configuration get plausible values, and what a SPEC may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simulators.behaviours.noise import Wave, jitter
from simulators.clock import SimClock
from simulators.device import SimulatedDevice
from simulators.faults import KINDS, FaultBoard
from simulators.lines import behaviour_for
from simulators.opcua.nodes import SERVER_URI, ServedNamespaces, place
from simulators.spec import FaultSpec, SpecError, load, parse
from simulators.world import World


def shown(
    name: str, tags: dict[str, dict[str, Any]], t: float = 0.0, seed: int = 1
) -> dict[str, Any]:
    """What a device with these tags shows at `t`."""
    spec = parse(
        {"devices": [{"id": name, "protocol": "opcua", "tags": tags}], "epoch_ns": 0, "seed": seed}
    )
    world = World(spec, SimClock(1.0, 0))
    world.advance(t, budget_s=60.0)
    return dict(zip(tags, SimulatedDevice(spec.devices[0], world, seed).values(), strict=True))


@pytest.mark.parametrize(
    ("name", "tags", "kind"),
    [
        ("lathe-7", (), "lathe"), ("meter-9", (), "meter"), ("polish-1", (), "packml"), ("line-3", ("a",), "generic"),
        ("m1", ("spindle_speed", "feed_override"), "cnc"), ("q", ("output_frequency",), "vfd"),
        ("q", ("voltage_l1", "power"), "meter"), ("q", ("packml_state",), "packml"),
    ],
)  # fmt: skip
def test_the_behaviour_follows_id_then_tags(name: str, tags: tuple[str, ...], kind: str) -> None:
    spec = parse(
        {"devices": [{"id": name, "protocol": "modbus", "tags": {tag: {} for tag in tags}}]}
    )
    assert behaviour_for(spec.devices[0]) == kind


def test_labels_decide_the_number_of_a_state() -> None:
    tags = {
        "status": {"kind": "int", "map": {"0": "关机", "10": "待机", "20": "运行中", "30": "报警"}},
        "item_state": {"kind": "int", "map": {"5": "Executing", "6": "Idle", "7": "Fault"}},
        "mode": {"kind": "int", "map": {"0": "Manual", "1": "Auto"}},
    }
    seen = {tuple(shown("vmc-1", tags, t).values()) for t in range(0, 3600, 120)}
    assert {status for status, _, _ in seen} >= {10, 20}
    assert {(status, item) for status, item, _ in seen} <= {(10, 6), (20, 5), (30, 7)}
    assert {mode for _, _, mode in seen} <= {0, 1}


def test_units_are_converted_and_aliases_found() -> None:
    tags = {
        "power": {"unit": "W"},
        "active_power": {"unit": "kW"},
        "import": {"unit": "Wh"},
        "energy": {"unit": "kWh"},
    }
    values = shown("meter-1", tags)
    assert values["power"] == pytest.approx(1000 * values["active_power"])
    assert values["import"] == pytest.approx(1000 * values["energy"])


def test_text_kinds_get_names_of_states() -> None:
    values = shown(
        "vmc-1",
        {
            "item_state": {"kind": "text"},
            "operation_mode": {"kind": "text"},
            "program": {"kind": "text"},
        },
    )
    assert values["item_state"] in {"NotAvailable", "OutOfService", "NotExecuting", "Executing"}
    assert values["operation_mode"] in {"None", "Setup", "Processing", "Maintenance"}
    values["program"].encode("gbk")
    assert not values["program"].isascii()


def test_unknown_tags_are_plausible_by_unit_range_and_kind() -> None:
    tags = {
        "t1": {"kind": "float", "unit": "Cel"},
        "p": {"kind": "int", "range": [40, 50]},
        "door": {"kind": "bool"},
        "recipe": {"kind": "text"},
        "cycles_total": {"kind": "int"},
        "curve": {"kind": "array", "count": 4},
        "phase": {"kind": "int", "map": {"3": "a", "9": "b"}},
    }
    before, after = shown("thing", tags, 100.0), shown("thing", tags, 4000.0)
    assert 0 < before["t1"] < 100
    assert 40 <= before["p"] <= 50
    assert isinstance(before["door"], bool)
    assert isinstance(before["recipe"], str)
    assert after["cycles_total"] > before["cycles_total"]
    assert len(before["curve"]) == 4
    assert {shown("thing", tags, t)["phase"] for t in range(0, 600, 50)} == {3, 9}
    assert shown("thing", tags, 100.0) == before
    assert shown("thing", tags, 100.0, seed=2) != before


def test_a_meter_is_a_consistent_three_phase_system() -> None:
    names = [
        "power",
        "frequency",
        *(f"{kind}_l{i}" for kind in ("voltage", "power", "current") for i in (1, 2, 3)),
    ]
    values = shown("meter-1", {name: {} for name in names})
    assert sum(values[f"power_l{i}"] for i in (1, 2, 3)) == pytest.approx(values["power"])
    assert all(abs(values[f"voltage_l{i}"] - 230) <= 2.01 for i in (1, 2, 3))
    assert abs(values["frequency"] - 50) < 0.1


def test_waves_and_jitter_are_bounded_and_repeatable() -> None:
    wave = Wave("seed", 30.0)
    assert all(-1 <= wave(t / 3) <= 1 for t in range(1000))
    assert all(-1 <= jitter(7, float(t)) < 1 for t in range(1000))
    assert Wave("seed", 30.0)(12.5) == wave(12.5)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "devices"), ({"devices": [{"id": "a"}]}, "protocol"), ({"devices": [{"protocol": "modbus"}]}, "id"),
        ({"devices": [{"id": "a", "protocol": "s7", "tags": {}}]}, "s7"), ({"devices": [], "speed": 0}, "speed"),
        ({"devices": [{"id": "a", "protocol": "modbus", "transport": "smoke", "tags": {}}]}, "smoke"),
        ({"devices": [{"id": "a", "protocol": "opcua", "tags": {}}] * 2}, "twice"),
        ({"devices": [{"id": "a", "protocol": "opcua", "tags": {}, "faults": [{}]}]}, "kind"),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_refused_with_a_sentence(document: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(document)


def test_an_unknown_behaviour_and_a_missing_or_broken_file_are_refused(tmp_path: Path) -> None:
    spec = parse(
        {"devices": [{"id": "a", "protocol": "modbus", "behaviour": "windmill", "tags": {}}]}
    )
    with pytest.raises(SpecError, match="windmill"):
        World(spec, SimClock())
    with pytest.raises(SpecError, match="cannot read"):
        load(tmp_path / "absent.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SpecError, match="not valid JSON"):
        load(tmp_path / "broken.json")
    (tmp_path / "good.json").write_text(json.dumps({"devices": []}))
    assert load(tmp_path / "good.json").devices == ()


def test_faults_begin_and_end_on_the_simulated_clock() -> None:
    board = FaultBoard(
        "a",
        "modbus",
        [FaultSpec("timeout", at=10.0, duration=5.0), FaultSpec("session_drop", at=12.0)],
    )
    assert board.update(9.0) == []
    assert board.active("timeout") is None
    assert board.update(10.0) == []
    assert board.hits("timeout", "anything")
    assert [event.kind for event in board.update(12.0)] == ["session_drop"]
    assert board.update(13.0) == []
    before = board.version
    board.update(15.0)
    assert board.active("timeout") is None
    assert board.version > before
    board.add(FaultSpec("nan", at=16.0, tags=frozenset({"x"})))
    board.update(99.0)
    assert board.hits("nan", "x")
    assert not board.hits("nan", "y")
    board.add(FaultSpec("clear", at=100.0))
    board.update(100.0)
    assert not board.any_active(KINDS)


@pytest.mark.parametrize(
    ("protocol", "kind"), [("modbus", "bad_status"), ("opcua", "slave_timeout"), ("opcua", "smoke")]
)
def test_faults_that_cannot_be_are_refused(protocol: str, kind: str) -> None:
    with pytest.raises(SpecError, match=kind):
        FaultBoard("a", protocol).add(FaultSpec(kind))


def test_nodes_keep_their_indexes_and_uris_get_the_ones_behind() -> None:
    tags = {
        "a": {"node": "ns=3;s=A"},
        "b": {"node": "nsu=http://x/y;i=7"},
        "c": {"path": ["Objects", "2:M", "{urn:z}C"]},
        "d": {"node": "ns=2;b=AQI="},
        "e": {"node": "ns=2;g=72962b91-fa75-4ae6-8d28-b404dc7daf63"},
    }
    (device,) = parse({"devices": [{"id": "a", "protocol": "opcua", "tags": tags}]}).devices
    spaces = ServedNamespaces(device.tags)
    assert spaces.uris[1] == SERVER_URI
    assert spaces.uris[2:] == ["urn:simulators:ns2", "urn:simulators:ns3", "http://x/y", "urn:z"]
    assert spaces.order(True) == ["urn:simulators:inserted", *reversed(spaces.uris[2:])]
    places = [place(device, tag, i, spaces) for i, tag in enumerate(device.tags)]
    assert (places[0].uri, places[0].identifier) == ("urn:simulators:ns3", "A")
    assert (places[1].uri, places[1].identifier) == ("http://x/y", 7)
    assert [step.name for step in places[2].folders] == ["M"]
    assert (places[2].name.uri, places[2].name.name) == ("urn:z", "C")
    assert places[3].identifier == b"\x01\x02"


@pytest.mark.parametrize(
    "where", [{}, {"node": "nonsense"}, {"node": "i=x"}, {"path": ["Objects"]}]
)
def test_places_that_cannot_be_served_are_refused(where: dict[str, Any]) -> None:
    (device,) = parse({"devices": [{"id": "a", "protocol": "opcua", "tags": {"t": where}}]}).devices
    with pytest.raises(SpecError):
        place(device, device.tags[0], 0, ServedNamespaces(device.tags))
