"""Every profile through the real loader and its connector's own judgement; and the YAML printed in
the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.config.profiles import available
from edge_agent.normalise.state import StateMachine

ROOT = Path(__file__).parents[2]
SITE = "agent: {id: ipc-01}\nmqtt: {url: mqtt://127.0.0.1:1883}\n"
WHERE = {"modbus": "url: tcp://10.0.1.50:502", "opcua": "endpoint: opc.tcp://10.0.1.32:4840"}
PROFILES = {
    name: yaml.safe_load(file.read_text(encoding="utf-8")) for name, file in available().items()
}
MACHINES = sorted(name for name, profile in PROFILES.items() if "state" in profile)

#: Points of the vendor areas, as the vendor writes them, and where they are (object, PDU address).
POINTS = {
    "inovance-h5u": {
        "M10": ("coil", 10),
        "B3": ("coil", 0x3003),
        "S1": ("coil", 0xE001),
        "X17": ("coil", 0xF80F),
        "Y20": ("coil", 0xFC10),
        "D100": ("holding", 100),
        "R2": ("holding", 0x3002),
    },
    "inovance-am": {
        "QX1.7": ("coil", 15),
        "IX0.3": ("discrete", 3),
        "MW200": ("holding", 200),
        "SM5": ("coil", 5),
        "SD7": ("holding", 7),
    },
    "delta-dvp": {
        "D100": ("holding", 0x1064),
        "M5": ("coil", 0x0805),
        "X17": ("discrete", 0x040F),
        "Y377": ("coil", 0x05FF),
        "S1023": ("coil", 0x03FF),
        "T255": ("holding", 0x06FF),
        "C199": ("holding", 0x0EC7),
    },
    "xinje-xc": {
        "M7999": ("coil", 7999),
        "M8000": ("coil", 0x6000),
        "X10": ("coil", 0x4008),
        "Y1": ("coil", 0x4801),
        "S3": ("coil", 0x5003),
        "T2": ("coil", 0x6402),
        "C2": ("coil", 0x6C02),
        "D7999": ("holding", 7999),
        "D8001": ("holding", 0x4001),
        "TD1": ("holding", 0x3001),
        "CD1": ("holding", 0x3801),
        "FD9": ("holding", 0x4809),
        "ED36863": ("holding", 0xFFFF),
    },
}


def written(folder: Path, devices: str) -> Path:
    file = folder / "site.yaml"
    file.write_text(f"{SITE}devices:\n{devices}", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "name", sorted(name for name, profile in PROFILES.items() if profile["tags"])
)
def test_a_profile_loads_and_its_connector_finds_no_fault(name: str, tmp_path: Path) -> None:
    where = WHERE[PROFILES[name]["connector"]]
    site = load(written(tmp_path, f"  - {{id: d, profile: {name}, {where}}}\n"))
    (plan,) = plans(site)
    assert {tag.name for table in plan.tables for tag in table.tags} == set(PROFILES[name]["tags"])


@pytest.mark.parametrize("name", MACHINES)
def test_the_state_rules_of_a_profile_compile(name: str, tmp_path: Path) -> None:
    where = WHERE[PROFILES[name]["connector"]]
    site = load(written(tmp_path, f"  - {{id: d, profile: {name}, {where}}}\n"))
    (plan,) = plans(site)
    names = frozenset(PROFILES[name]["tags"])
    assert StateMachine.compile(site.devices[0].state, plan.tables, names) is not None


@pytest.mark.parametrize("name", sorted(POINTS))
def test_vendor_addresses_become_the_right_modbus_addresses(name: str, tmp_path: Path) -> None:
    kinds = {"coil": "bool", "discrete": "bool", "holding": "uint16"}
    lines = [f"{{address: {at}, type: {kinds[kind]}}}" for at, (kind, _) in POINTS[name].items()]
    tags = "".join(f"      t{i}: {line}\n" for i, line in enumerate(lines))
    site = load(
        written(
            tmp_path, f"  - id: d\n    profile: {name}\n    {WHERE['modbus']}\n    tags:\n{tags}"
        )
    )
    (plan,) = plans(site)
    described = InstalledPlugins()["modbus"].describe(plan)["tags"]
    found = {
        at: (described[f"t{i}"]["object"], described[f"t{i}"]["address"])
        for i, at in enumerate(POINTS[name])
    }
    assert found == POINTS[name]


def blocks(document: str) -> list[str]:
    return re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / document).read_text(encoding="utf-8"), re.DOTALL
    )


def test_the_first_configuration_of_getting_started_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("getting-started.md")
    file = tmp_path / "my-plant.yaml"
    file.write_text(text, encoding="utf-8")
    assert [device.id for device in load(file).devices] == ["meter-ml1", "plc-07"]


def test_the_examples_of_the_profiles_page_are_valid(tmp_path: Path) -> None:
    use, make = blocks("profiles.md")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "my-press.yaml").write_text(make, encoding="utf-8")
    devices = (
        use.removeprefix("devices:\n")
        + f"  - {{id: press, profile: my-press, {WHERE['modbus']}}}\n"
    )
    meter, press = load(written(tmp_path, devices)).devices
    assert meter.tags["import"].scale == 0.4
    assert "frequency" not in meter.tags
    assert meter.tags["demand"].unit == "kW"
    assert set(press.tags) == {"status", "pressure"}


def test_the_profiles_page_lists_every_profile() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    assert set(
        re.findall(r"^\| `([a-z0-9-]+)` \| .* \| (?:modbus|opcua) \|", page, re.MULTILINE)
    ) == set(PROFILES)
