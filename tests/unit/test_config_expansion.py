"""Templates, `for`, includes, defaults: few lines that stand for many devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import dump, expand, load
from tests.support.sites import HEAD, refused, site, write

HUNDRED = """\
devices:
  - for: {i: 1..100}
    id: "plc-{i:03}"
    connector: modbus
    url: "tcp://10.0.2.{i}:502"
    tags: {speed: {address: holding/100, type: float32}, running: {address: coil/0}}
"""


def test_a_hundred_equal_devices_in_at_most_twelve_lines(tmp_path: Path) -> None:
    assert (HEAD + HUNDRED).count("\n") <= 12
    devices = site(tmp_path, HUNDRED).devices
    assert [device.id for device in devices] == [f"plc-{i:03}" for i in range(1, 101)]
    assert devices[41].url == "tcp://10.0.2.42:502"  # type: ignore[attr-defined]


def test_several_variables_give_every_combination_and_keep_numbers(tmp_path: Path) -> None:
    devices = site(
        tmp_path,
        """
        devices:
          - for: {cell: [a, b], k: 2..3}
            id: "pol-{cell}{k:02}"
            connector: modbus
            url: "tcp://10.0.0.1"
            unit: "{k}"
            name: "{{k}} is {k:x}"
            tags: {a: {address: "holding/{k}"}}
        """,
    ).devices
    assert [device.id for device in devices] == ["pol-a02", "pol-a03", "pol-b02", "pol-b03"]
    assert [device.unit for device in devices] == [2, 3, 2, 3]  # type: ignore[attr-defined]
    assert devices[0].name == "{k} is 2"
    assert devices[1].tags["a"].address == "holding/3"


def test_a_template_may_hold_variables_and_the_device_overrides_it(tmp_path: Path) -> None:
    devices = site(
        tmp_path,
        """
        templates:
          plc:
            connector: modbus
            url: "tcp://10.0.0.{i}"
            line: ML1
            tags: {a: {address: holding/1, unit: rpm, map: {0: x}}, b: {address: holding/2}, c: {address: holding/3}}
        devices:
          - for: {i: [5]}
            id: "p{i}"
            template: plc
            line: ML2
            tags: {a: {address: holding/9, map: {1: y}}, b: null, d: {address: holding/4}}
        """,
    ).devices
    (device,) = devices
    assert (device.line, device.url) == ("ML2", "tcp://10.0.0.5")  # type: ignore[attr-defined]
    assert list(device.tags) == ["a", "c", "d"]
    assert (device.tags["a"].address, device.tags["a"].unit, device.tags["a"].map) == (
        "holding/9",
        "rpm",
        {1: "y"},
    )


def test_braces_outside_for_are_text(tmp_path: Path) -> None:
    text = (
        'devices: [{id: m, name: "{i} {{x}}", connector: modbus, url: "tcp://h", tags: {a: '
        "{address: coil/1}}}]"
    )
    assert site(tmp_path, text).devices[0].name == "{i} {{x}}"


def test_defaults_stand_below_everything(tmp_path: Path) -> None:
    devices = site(
        tmp_path,
        """
        defaults: {modbus: {timeout: 500ms, every: 5s, unit: 9}, opcua: {mode: read}}
        templates: {t: {every: 2s}}
        devices:
          - {id: m, connector: modbus, url: "tcp://h", unit: 3, template: t, tags: {a: {address: coil/1}}}
          - {id: c, connector: opcua, endpoint: "opc.tcp://h", tags: {a: {node: i=1}}}
        """,
    ).devices
    modbus, opcua = devices
    assert (modbus.timeout, modbus.every, modbus.unit) == (0.5, 2.0, 3)  # type: ignore[attr-defined]
    assert (opcua.mode, opcua.every) == ("read", 1.0)  # type: ignore[attr-defined]


def test_included_files_join_and_the_including_file_wins_in_defaults(tmp_path: Path) -> None:
    device = (
        '{{id: {0}, connector: modbus, url: "tcp://h", template: t, tags: {{a: {{address: '
        "coil/1}}}}}}"
    )
    write(
        tmp_path,
        f"devices: [{device.format('b')}]\ninclude: ../common.yaml\n",
        "lines/l1.yaml",
        head="",
    )
    write(tmp_path, f"devices: [{device.format('c')}]\n", "lines/l2.yaml", head="")
    write(
        tmp_path,
        "templates: {t: {line: X}}\ndefaults: {modbus: {unit: 4, every: 7s}}\n",
        "common.yaml",
        head="",
    )
    text = (
        f"include: [lines/*.yaml, common.yaml]\ndefaults: {{modbus: {{unit: 5}}}}\ndevices: "
        f"[{device.format('a')}]\n"
    )
    devices = site(tmp_path, text).devices
    assert [device.id for device in devices] == ["a", "b", "c"]
    assert {(device.line, device.unit, device.every) for device in devices} == {("X", 5, 7.0)}  # type: ignore[attr-defined]


def test_paths_count_from_the_file_they_are_written_in(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        devices:
          - id: c
            connector: opcua
            endpoint: opc.tcp://h
            security: {certificate: own.pem, key: KEY}
            tags: {a: {node: i=1}}
        """.replace("KEY", str(tmp_path / "own.key")),
        "sub/line.yaml",
        head="",
    )
    for name in ("sub/own.pem", "own.key"):
        (tmp_path / name).touch()
    loaded = site(tmp_path, "include: sub/line.yaml\noutbox: {fsync_ms: 5}\n")
    security = loaded.devices[0].security  # type: ignore[attr-defined]
    assert (security.certificate, security.key) == (tmp_path / "sub/own.pem", tmp_path / "own.key")
    assert loaded.outbox.path == tmp_path / "data/outbox"
    assert loaded.store.path == tmp_path / "data/store.duckdb"


def test_a_range_without_end_does_not_become_a_list(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'devices: [{for: {i: 1..999999999, j: 1..999999999}, id: "a{i}{j}", connector: modbus}]',
    )
    assert [finding.code for finding in refused(path)] == ["too-large"]


@pytest.mark.slow
def test_too_many_devices_in_all(tmp_path: Path) -> None:
    line = '  - {{for: {{i: 1..6000}}, id: "{0}{{i}}", connector: modbus, url: "tcp://h"}}\n'
    path = write(tmp_path, "devices:\n" + line.format("a") + line.format("b"))
    assert "too-large" in {finding.code for finding in refused(path)}


def test_expand_writes_everything_out_and_loads_to_the_same_site(tmp_path: Path) -> None:
    write(
        tmp_path,
        "name: meter\ntitle: {zh: a, en: a}\nconnector: modbus\ntags: {p: {address: coil/1}}",
        "profiles/meter.yaml",
        "",
    )
    (tmp_path / "token").write_text("hush")
    (tmp_path / "register.csv").write_text("")
    path = write(
        tmp_path,
        """
        register: {equipment: register.csv}
        store: {token: !file token}
        defaults: {modbus: {unit: 7}}
        templates: {t: {line: ML9, connector: modbus}}
        devices:
          - {for: {i: 1..2}, id: "plc-{i}", url: "tcp://h{i}", template: t, tags: {a: {address: coil/1}}}
          - {id: m, profile: meter, url: "tcp://h", tags: {p: {unit: kW}}}
        """,
    )
    data = expand(path)
    assert "templates" not in data
    assert [device["id"] for device in data["devices"]] == ["plc-1", "plc-2", "m"]
    assert data["devices"][2]["connector"] == "modbus"
    assert "hush" not in dump(data)
    elsewhere = tmp_path / "other" / "copy.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(dump(data), encoding="utf-8")
    first, second = load(path), load(elsewhere)
    # A profile that does not come with the agent is named by its path, which is the same profile.
    assert [device.model_copy(update={"profile": None}) for device in second.devices] == [
        device.model_copy(update={"profile": None}) for device in first.devices
    ]
    assert second.register_ == first.register_
    assert second.store.token == first.store.token  # type: ignore[attr-defined]


def test_for_inside_tags_gives_a_tag_for_every_combination(tmp_path: Path) -> None:
    (device,) = site(
        tmp_path,
        """
        devices:
          - id: plc
            connector: modbus
            url: tcp://h
            tags:
              first: {address: holding/0}
              "axis{i}_{what}": {for: {i: 1..2, what: [speed, load]}, address: "holding/{i*10-2}", unit: "{{{what}}}"}
              "bit{k:02}": {for: {k: [0, 15]}, address: "holding/7", bit: "{k}"}
              last: {address: holding/1}
        """,
    ).devices
    tags = device.tags
    assert list(tags) == [
        "first", "axis1_speed", "axis1_load", "axis2_speed", "axis2_load", "bit00", "bit15", "last",
    ]  # fmt: skip
    assert [tags[name].address for name in ("axis1_speed", "axis2_load")] == [
        "holding/8",
        "holding/18",
    ]
    assert tags["axis1_load"].unit == "{load}"
    assert [tags[name].bit for name in ("bit00", "bit15")] == [0, 15]


def test_for_inside_tags_of_template_profile_and_defaults_is_laid_over_tag_by_tag(
    tmp_path: Path,
) -> None:
    write(
        tmp_path,
        """
        name: own
        title: {zh: 自, en: own}
        connector: modbus
        tags: {"zone{z}": {for: {z: 1..3}, address: "holding/{z}", unit: Cel}}
        """,
        "profiles/own.yaml",
        head="",
    )
    devices = site(
        tmp_path,
        """
        defaults: {modbus: {tags: {"d{i}": {for: {i: 1..2}, address: "holding/{i+50}"}}}}
        templates:
          t: {tags: {"zone{z}": {for: {z: 2..2}, every: 5s}, "p{p}v{v}": {for: {v: 1..2}, address: "coil/{v}"}}}
        devices:
          - for: {p: 1..2}
            id: "m{p}"
            profile: own
            template: t
            url: "tcp://10.0.0.{p}"
            tags: {zone3: null, zone1: {description: "of {p}"}}
        """,
    ).devices
    assert [sorted(device.tags) for device in devices] == [
        ["d1", "d2", f"p{p}v1", f"p{p}v2", "zone1", "zone2"] for p in (1, 2)
    ]
    assert devices[1].tags["zone1"].description == "of 2"
    assert (devices[0].tags["zone2"].every, devices[0].tags["zone2"].unit) == (5.0, "Cel")
    assert devices[0].tags["d2"].address == "holding/52"


def test_what_for_wrote_out_reads_back_equal(tmp_path: Path) -> None:
    text = """
        devices:
          - id: plc
            connector: modbus
            url: tcp://h
            tags: {"t{i}": {for: {i: 1..3}, address: "holding/{i*2}"}}
        """
    path = write(tmp_path, text)
    again = tmp_path / "again.yaml"
    again.write_text(dump(expand(path)), encoding="utf-8")
    assert load(again).devices == load(path).devices
