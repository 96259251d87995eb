"""Devices that were found, written into a plant file that is there: nothing else changes, and
`check` accepts it."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from edge_agent.commissioning.file_changes import backup_of
from edge_agent.commissioning.lists.importing import import_list
from edge_agent.commissioning.plant_file import FoundDevice, join
from edge_agent.commissioning.stub_note import stub_note
from edge_agent.config import load
from edge_agent.config.places import SecretReference
from edge_agent.errors import FindingsError

HEAD = "agent: {id: ipc-01}   # ours\nmqtt: {url: mqtt://127.0.0.1}\n"
TAIL = "\n# 文件的最后一行 the last line\n"
METER = FoundDevice(
    {"id": "meter-01", "profile": "eastron-sdm630", "url": "tcp://10.0.0.1:502", "unit": 1}
)
STUB = FoundDevice(
    {"id": "unit-03", "connector": "modbus", "url": "tcp://10.0.0.1", "unit": 3}, ["next: probe"]
)
PROBED = FoundDevice(
    {
        "id": "modbus-01",
        "connector": "modbus",
        "url": "tcp://10.0.0.1:502",
        "unit": 3,
        "tags": {"speed": {"address": "holding/0", "type": "float32"}},
    }
)
SERVER = FoundDevice(
    {
        "id": "opcua-01",
        "connector": "opcua",
        "endpoint": "opc.tcp://10.0.0.2:4840",
        "tags": {"t": {"node": "i=2258"}},
    }
)


@pytest.mark.parametrize(
    "devices",
    [
        "",
        "devices:\n",
        "devices: []  # none yet\n",
        "devices: ~\n",
        "devices:\n- id: a\n  profile: eastron-sdm630\n  url: tcp://10.0.0.9\n  # 注释 a comment\n",
        "devices:\n    - id: a\n      profile: eastron-sdm630\n      url: tcp://10.0.0.9\n\n"
        "store: {kind: line, url: http://x}\n",
        "devices:\n  - {id: a, profile: eastron-sdm630, url: tcp://10.0.0.9}\n",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_devices_go_behind_those_that_are_there(tmp_path: Path, devices: str, newline: str) -> None:
    path = tmp_path / "plant.yaml"
    former = (HEAD + devices + TAIL).replace("\n", newline).encode()
    path.write_bytes(former)
    joined = join(path, [METER, SERVER], "scan")
    assert joined.added == ["meter-01", "opcua-01"]
    assert {"meter-01", "opcua-01"} <= {device.id for device in load(path).devices}
    lines = path.read_bytes().split(newline.encode())
    for line in former.split(newline.encode()):
        assert line in lines or line.startswith(b"devices")
    assert backup_of(path).read_bytes() == former


def test_a_unit_without_a_profile_waits_for_its_tags_and_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    assert join(path, [METER, STUB], "scan").without_tags == ["unit-03"]
    assert "# next: probe" in path.read_text(encoding="utf-8")
    with pytest.raises(FindingsError):
        load(path)
    joined = join(path, [PROBED], "probe")
    assert (joined.added, joined.changed, joined.without_tags) == ([], ["unit-03"], [])
    assert [device.id for device in load(path).devices] == ["meter-01", "unit-03"]
    former = path.read_bytes()
    assert join(path, [METER, STUB], "scan").unchanged == ["meter-01", "unit-03"]
    assert join(path, [PROBED], "probe").unchanged == ["unit-03"]
    assert path.read_bytes() == former


def test_a_waiting_server_becomes_the_machine_that_was_found(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    where = {"connector": "opcua", "endpoint": "opc.tcp://10.0.0.2:4840"}
    join(path, [FoundDevice({"id": "opcua-01", **where})], "scan")
    join(path, [SERVER], "browse", device_id="opcua-01")
    assert list(load(path).devices[0].tags) == ["t"]


def test_two_devices_never_share_an_id(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    join(path, [METER], "scan")
    other = FoundDevice({**METER.keys, "url": "tcp://10.0.0.7"})
    joined = join(path, [other, FoundDevice({**METER.keys, "unit": 9})], "scan")
    assert len(set(joined.added) | {"meter-01"}) == 3


@pytest.mark.parametrize(
    "devices", ["devices: [{id: a, profile: eastron-sdm630, url: tcp://10.0.0.9}]\n"]
)
def test_what_cannot_be_edited_by_lines_is_refused_and_left(tmp_path: Path, devices: str) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(HEAD + devices, encoding="utf-8")
    with pytest.raises(FindingsError):
        join(path, [METER], "scan")
    assert path.read_text(encoding="utf-8") == HEAD + devices
    assert [file.name for file in tmp_path.iterdir()] == ["plant.yaml"]


def test_what_check_refuses_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(HEAD + "devices: []\n", encoding="utf-8")
    bad = FoundDevice({**PROBED.keys, "tags": {"x": {"address": "holding/0", "type": "no-such"}}})
    with pytest.raises(FindingsError):
        join(path, [bad], "probe")
    with pytest.raises(FindingsError):
        join(tmp_path / "new.yaml", [bad], "probe")
    assert [file.name for file in tmp_path.iterdir()] == ["plant.yaml"]


def test_a_tag_that_differs_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    join(path, [PROBED], "probe")
    other = FoundDevice(
        {**PROBED.keys, "tags": {"speed": {"address": "holding/2", "type": "int16"}}}
    )
    with pytest.raises(FindingsError, match="differs"):
        join(path, [other], "probe")
    join(path, [other], "probe", replace=True)
    assert "holding/2" in path.read_text(encoding="utf-8")


def test_a_list_that_is_imported_leaves_the_former_text_in_the_backup(tmp_path: Path) -> None:
    path, points = tmp_path / "plant.yaml", tmp_path / "list.csv"
    join(path, [PROBED], "probe")
    former = path.read_bytes()
    points.write_text("tag,address,type\nlevel,40011,int16\n", encoding="utf-8")
    import_list(points, "modbus-01", path)
    assert backup_of(path).read_bytes() == former


def dated_backups(path: Path) -> list[Path]:
    """The backups that name their day, the earliest first."""
    found = [
        backup_of(path, date.fromisoformat(file.name[-14:-4]))
        for file in path.parent.glob("*.????-??-??.bak")
    ]
    return sorted(found)


def test_the_text_before_the_first_change_of_a_day_is_kept_however_many_follow(
    tmp_path: Path,
) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(HEAD + "devices: []\n", encoding="utf-8")
    path.chmod(0o640)
    texts = [path.read_bytes()]
    for device in (METER, SERVER, PROBED):
        join(path, [device], "scan")
        texts.append(path.read_bytes())
    first, *later = dated_backups(path)
    assert first.read_bytes() == texts[0]
    assert not later or first.name < later[0].name  # the test went on past midnight
    assert backup_of(path).read_bytes() == texts[-2]
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o640}


def test_each_day_has_a_backup_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    join(path, [METER], "scan")
    yesterday = backup_of(path, date(2020, 2, 29))
    yesterday.write_text("of that day", encoding="utf-8")
    former = path.read_bytes()
    join(path, [SERVER], "scan")
    assert yesterday.read_text(encoding="utf-8") == "of that day"
    assert [file.read_bytes() for file in dated_backups(path)] == [b"of that day", former]


NOTED = FoundDevice(
    STUB.keys,
    [
        "tcp://10.0.0.1 unit 3 ACME T1",
        *stub_note(["edge-agent probe tcp://10.0.0.1 --unit 3", "edge-agent tags import"]),
    ],
)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("way", ["join", "import", "profile"])
def test_the_comment_of_a_stub_goes_when_its_tags_have_come(
    tmp_path: Path, way: str, newline: str
) -> None:
    path, points = tmp_path / "plant.yaml", tmp_path / "list.csv"
    path.write_text(
        HEAD + "devices:\n  # 我们自己的注释 a comment of ours\n", encoding="utf-8", newline=newline
    )
    other = FoundDevice({**STUB.keys, "id": "unit-04", "unit": 4}, NOTED.notes)
    join(path, [NOTED, other], "scan")
    former = path.read_bytes().decode().split(newline)
    points.write_text("tag,address,type\nlevel,40011,int16\n", encoding="utf-8")
    if way == "import":
        import_list(points, "unit-03", path)
    else:
        found = PROBED if way == "join" else FoundDevice({**METER.keys, "unit": 3})
        assert join(path, [found], "probe").changed == ["unit-03"]
    now = path.read_bytes().decode().split(newline)
    assert sum("no profile fits" in line for line in former) == 2
    assert sum("no profile fits" in line for line in now) == 1, "unit-04 still waits"
    assert (
        sum("edge-agent" in line for line in now)
        == sum("edge-agent" in line for line in former) - 2
    )
    assert sum("ACME T1" in line for line in now) == 2, "what the device says of itself stays"
    assert any("a comment of ours" in line for line in now)


def test_a_comment_that_people_wrote_in_that_of_a_stub_stays(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    join(path, [NOTED], "scan")
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("  - id: unit-03", "  # 找王工 ask the electrician\n  - id: unit-03"),
        encoding="utf-8",
    )
    join(path, [PROBED], "probe")
    text = path.read_text(encoding="utf-8")
    assert "ask the electrician" in text
    assert "no profile fits" not in text


def test_units_that_may_be_the_same_device_stay_as_comments(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(HEAD + "devices: []\n" + TAIL, encoding="utf-8")
    join(path, [METER], "scan", notes=["- id: meter-02"])
    assert "  # - id: meter-02\n" in path.read_text(encoding="utf-8")
    assert [device.id for device in load(path).devices] == ["meter-01"]


def test_tags_of_another_address_do_not_get_into_a_device(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    join(path, [SERVER], "browse")
    former = path.read_bytes()
    other = FoundDevice({**SERVER.keys, "endpoint": "opc.tcp://10.0.0.3:4840"})
    with pytest.raises(FindingsError, match="another address"):
        join(path, [other], "browse", device_id="opcua-01")
    assert path.read_bytes() == former


def test_a_file_that_is_a_link_stays_one_with_its_owner_and_mode(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "site.yaml", tmp_path / "plant.yaml"
    real.write_text(HEAD + "devices: []\n", encoding="utf-8")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 12345, 12345)
    link.symlink_to(real)
    before = real.stat()
    join(link, [METER], "scan")
    after = real.stat()
    assert link.is_symlink()
    assert [device.id for device in load(link).devices] == ["meter-01"]
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    names = {"plant.yaml", "plant.yaml.bak", "real", *(file.name for file in dated_backups(link))}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_what_a_waiting_server_lacks_of_its_security_is_added(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    where = {"connector": "opcua", "endpoint": "opc.tcp://10.0.0.2:4840"}
    stub = {"id": "opcua-01", **where, "security": {"policy": "Basic256Sha256"}, "tags": {}}
    security = {"policy": "Basic256Sha256", "check_host": False}
    user = {"name": "op", "password": SecretReference("!env", "OPC_PW")}
    join(path, [FoundDevice(stub)], "scan")
    browsed = {
        "id": "opcua-01",
        **where,
        "security": security,
        "user": user,
        "tags": {"t": {"node": "i=2258"}},
    }
    assert join(path, [FoundDevice(browsed)], "browse").changed == ["opcua-01"]
    assert "security: {policy: Basic256Sha256, check_host: false}" in path.read_text(
        encoding="utf-8"
    )


def test_security_that_is_not_in_braces_is_named_and_left(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    endpoint = "opc.tcp://10.0.0.2:4840"
    device = (
        f"- id: opcua-01\n  connector: opcua\n  endpoint: {endpoint}\n  security:\n    policy: "
        "Basic256Sha256\n"
        "  tags: {}\n"
    )
    path.write_text(HEAD + "devices:\n" + device, encoding="utf-8")
    former = path.read_bytes()
    security = {"policy": "Basic256Sha256", "check_host": False}
    found = FoundDevice(
        {"id": "x", "connector": "opcua", "endpoint": endpoint, "security": security}
    )
    with pytest.raises(FindingsError, match="check_host: false"):
        join(path, [found], "browse")
    assert path.read_bytes() == former


def test_the_command_in_a_comment_names_the_device_by_its_new_id(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    note = "tags import list.xlsx --device unit-01 --into plant.yaml"
    units = [
        FoundDevice(
            {"id": "unit-01", "connector": "modbus", "url": f"tcp://10.0.0.{n}", "unit": 1}, [note]
        )
        for n in (1, 2)
    ]
    joined = join(path, units, "scan")
    assert len(joined.added) == 2
    text = path.read_text(encoding="utf-8")
    assert all(text.count(f"--device {name} ") == 1 for name in joined.added)
