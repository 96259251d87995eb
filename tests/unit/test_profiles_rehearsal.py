"""Rehearsing a site: what the simulators are given, and the configuration that points at them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from edge_agent.app.demo import rehearse
from edge_agent.cli import simulate
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.sdk import Clock
from tests.support.sites import write

SITE = """
agent: {id: ipc-01, enterprise: acme}
mqtt: {url: mqtt://broker.plant:1883, topic_prefix: plant, password: !env REHEARSAL_PASSWORD, username: ipc-01}
outbox: {path: spool/outbox}
store: {kind: influxdb, url: http://influx.plant:8086, org: acme, bucket: plant, token: !env REHEARSAL_PASSWORD}
defaults: {modbus: {timeout: 2s}}
templates:
  meter: {profile: eastron-sdm120, line: ML1, url: "rtu:///dev/ttyUSB0?baudrate=9600"}
devices:
  - {for: {i: 1..2}, id: "meter-{i}", unit: "{i}", template: meter}
  - {id: vmc-02, line: ML2, profile: siemens-sinumerik, endpoint: "opc.tcp://10.0.1.32:4840"}
"""
ENDPOINTS = {
    "meter-1": "rtu:///dev/pts/7",
    "meter-2": "rtu:///dev/pts/7",
    "vmc-02": "opc.tcp://127.0.0.1:40001/vmc-02",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REHEARSAL_PASSWORD", "s3cret-of-the-plant")
    file = tmp_path / "plant.yaml"
    file.write_text(SITE, encoding="utf-8")
    return file


def spec(config: Path, **options: Any) -> dict[str, Any]:
    site = load(config)
    return rehearse.spec(site, plans(site), Clock(60.0, 1_763_900_000_000_000_000), 7, **options)


def test_a_spec_is_plain_json_and_carries_clock_and_seed(config: Path, tmp_path: Path) -> None:
    document = orjson.loads(orjson.dumps(spec(config, truth=tmp_path / "truth.jsonl")))
    assert document["speed"] == 60.0
    assert document["epoch_ns"] == 1_763_900_000_000_000_000
    assert document["seed"] == 7
    assert document["truth"] == str(tmp_path / "truth.jsonl")
    assert [device["id"] for device in document["devices"]] == ["meter-1", "meter-2", "vmc-02"]
    assert [device["line"] for device in document["devices"]] == ["ML1", "ML1", "ML2"]


def test_devices_on_one_line_share_a_bus_and_keep_their_units(config: Path) -> None:
    first, second, third = spec(config)["devices"]
    assert first["bus"] == second["bus"] != third["bus"]
    assert (first["transport"], first["unit"], second["unit"]) == ("rtu", 1, 2)
    assert first["tags"]["import"]["object"] == "input"


def test_faults_reach_their_device_and_no_other(config: Path) -> None:
    fault = {"kind": "frozen", "for": 30.0}
    faults = {
        device["id"]: device["faults"]
        for device in spec(config, faults={"vmc-02": [fault]})["devices"]
    }
    assert faults == {"meter-1": [], "meter-2": [], "vmc-02": [fault]}


def test_a_fault_for_an_unknown_device_is_refused_with_the_known_ones(config: Path) -> None:
    with pytest.raises(rehearse.SimulationError, match=r"vmc-2.*meter-1, meter-2, vmc-02"):
        spec(config, faults={"vmc-2": [{"kind": "frozen"}]})


def test_a_redirected_site_is_the_same_site_elsewhere(config: Path) -> None:
    redirected = config.with_name("plant.simulated.yaml")
    redirected.write_text(rehearse.redirect(config, ENDPOINTS), encoding="utf-8")
    before, after = load(config), load(redirected)
    assert [d.id for d in after.devices] == [d.id for d in before.devices]
    assert {
        d.id: getattr(d, "url", None) or getattr(d, "endpoint", None) for d in after.devices
    } == ENDPOINTS
    for old, new in zip(before.devices, after.devices, strict=True):
        moved = {"url", "endpoint"}
        assert new.model_dump(exclude=moved) == old.model_dump(exclude=moved)
    assert after.mqtt == before.mqtt
    assert after.outbox == before.outbox


def test_a_redirected_site_may_lie_anywhere_and_holds_no_secret(
    config: Path, tmp_path: Path
) -> None:
    text = rehearse.redirect(config, ENDPOINTS)
    assert "s3cret" not in text
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "x.yaml"
    other.write_text(text, encoding="utf-8")
    assert load(other).outbox.path == load(config).outbox.path == tmp_path / "spool" / "outbox"


def test_a_rehearsal_keeps_out_of_the_real_things_way(config: Path) -> None:
    site = load(config)
    redirected = config.with_name("plant.simulated.yaml")
    redirected.write_text(
        rehearse.redirect(config, ENDPOINTS, rehearse.apart(site, config, redirected)),
        encoding="utf-8",
    )
    rehearsal = load(redirected)
    assert rehearsal.mqtt.url == site.mqtt.url
    assert rehearsal.mqtt.topic_prefix == "plant-simulated"
    assert rehearsal.mqtt.client_id == "ipc-01-simulated"
    assert rehearsal.outbox.path != site.outbox.path
    assert rehearsal.store.kind == "duckdb"


def test_a_rehearsal_listens_elsewhere_wherever_the_real_thing_listens(tmp_path: Path) -> None:
    text = """
        store: {listen: "127.0.0.1:9471"}
        devices: [{id: d, connector: modbus, url: "tcp://10.0.0.1", tags: {a: {address: holding/1}}}]
        """
    head = 'agent: {id: a, listen: "[::1]:9470"}\nmqtt: {url: "mqtt://127.0.0.1"}\n'
    config = write(tmp_path, text, head=head)
    copy = tmp_path / "copy.yaml"
    copy.write_text(
        rehearse.redirect(config, {}, rehearse.apart(load(config), config, copy)), encoding="utf-8"
    )
    real, simulated = load(config), load(copy)
    places = [one for one in (simulated.agent.listen, simulated.store.listen) if one is not None]
    assert len(set(places)) == 2
    assert not set(places) & {real.agent.listen, real.store.listen}
    assert [place.rpartition(":")[0] for place in places] == ["[::1]", "127.0.0.1"]


def test_a_trusted_simulator_changes_nothing_else_about_the_channel(tmp_path: Path) -> None:
    certificate = tmp_path / "simulator.pem"
    certificate.touch()
    file = tmp_path / "plant.yaml"
    file.write_text(
        "agent: {id: a}\nmqtt: {url: mqtt://127.0.0.1:1883}\n"
        "defaults: {opcua: {security: {policy: Basic256Sha256}}}\n"
        "devices:\n  - {id: d, profile: siemens-sinumerik, endpoint: opc.tcp://10.0.1.9:4840}\n",
        encoding="utf-8",
    )
    redirected = tmp_path / "plant.simulated.yaml"
    redirected.write_text(
        rehearse.redirect(file, {}, certificates={"d": str(certificate)}), encoding="utf-8"
    )
    security = load(redirected).devices[0].model_dump()["security"]
    assert (security["policy"], security["trust"]) == ("Basic256Sha256", certificate)


def test_overrides_add_sections_the_file_does_not_have(config: Path) -> None:
    document = yaml.load(
        rehearse.redirect(config, {}, {"register": {"robot_is_nc": False}}).replace("!env", ""),
        yaml.SafeLoader,
    )
    assert document["register"] == {"robot_is_nc": False}


def test_a_place_that_cannot_be_written_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(rehearse.SimulationError, match="--out"):
        rehearse.save(tmp_path / "nowhere" / "x.yaml", "")


def arguments(*words: str) -> argparse.Namespace:
    root = argparse.ArgumentParser()
    simulate.add(root.add_subparsers())
    return root.parse_args(["simulate", *words])


def test_the_command_reads_faults_speed_and_seed() -> None:
    args = arguments(
        "plant.yaml",
        "--speed",
        "60",
        "--seed",
        "3",
        "--fault",
        "a:frozen:30",
        "--fault",
        "b:offline",
    )
    assert args.fault == [("a", {"kind": "frozen", "for": 30.0}), ("b", {"kind": "offline"})]
    assert (args.speed, args.seed, args.config, args.out) == (60.0, 3, Path("plant.yaml"), None)
    assert arguments().config is None


@pytest.mark.parametrize(
    "words", [("--fault", "a"), ("--fault", "a:frozen:soon"), ("--speed", "0"), ("--speed", "x")]
)
def test_wrong_words_are_refused_with_status_2(
    words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        arguments(*words)
    assert raised.value.code == 2
    assert "argument" in capsys.readouterr().err


def test_two_simulated_files_in_one_folder_share_nothing(tmp_path: Path) -> None:
    """Their outboxes would have been one, which only one agent can open."""
    config = tmp_path / "line-a.yaml"
    config.write_text("agent: {id: a}\nmqtt: {url: 'mqtt://127.0.0.1:1'}\n", encoding="utf-8")
    site = load(config)
    outs = [
        tmp_path / "line-a.simulated.yaml",
        tmp_path / "line-b.simulated.yaml",
        tmp_path / "other/line-a.yaml",
    ]
    found = [rehearse.apart(site, config, out) for out in outs]
    for section, key in (("outbox", "path"), ("store", "path"), ("store", "quarantine")):
        assert len({each[section][key] for each in found}) == len(outs)
    assert rehearse.apart(site, config, outs[0]) == found[0], (
        "the same file goes on with what it has"
    )
