"""Equal tags are one object, whichever way devices came to have them; and so is everything made of
them."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.modbus.layout import layout_of
from connectors.modbus.options import device_options
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.models import DeviceCommon
from edge_agent.normalise import Normaliser
from tests.support.sites import refused, site, write

TAGS = "a: {address: holding/0, type: float32}, b: {address: holding/2, scale: 0.1, range: [0, 9]}"
DEVICE = "connector: modbus, url: 'tcp://h{n}'"


def devices(folder: Path, text: str) -> tuple[DeviceCommon, ...]:
    return site(folder, text).devices


def written_out(*devices: str) -> str:
    lines = [f"  - {{id: d{n}, {DEVICE.format(n=n)}, {keys}}}\n" for n, keys in enumerate(devices)]
    return "devices:\n" + "".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        f"templates: {{t: {{connector: modbus, tags: {{{TAGS}}}}}}}\n"
        "devices:\n  - {id: d0, template: t, url: 'tcp://h0'}\n  - {id: d1, template: t, url: "
        "'tcp://h1'}\n",
        f"devices:\n  - {{for: {{i: 0..1}}, id: 'd{{i}}', connector: modbus, url: "
        f"'tcp://h{{i}}', tags: {{{TAGS}}}}}\n",
        written_out(f"tags: {{{TAGS}}}", f"tags: {{{TAGS}}}"),
        "devices:\n  - {id: d0, profile: eastron-sdm120, url: 'tcp://h0'}\n"
        "  - {id: d1, profile: eastron-sdm120, url: 'tcp://h1'}\n",
        f"defaults: {{modbus: {{tags: {{{TAGS}}}}}}}\n" + written_out("name: x", "name: y"),
    ],
    ids=["template", "for", "written twice", "profile", "defaults"],
)
def test_devices_with_equal_tags_share_them(tmp_path: Path, text: str) -> None:
    found = site(tmp_path, text)
    one, two = found.devices
    assert one.tags is two.tags
    assert one.tags
    for first, second in zip(*(plan.tables for plan in plans(found)), strict=True):
        assert (first.device, second.device) == (one.id, two.id)
        assert first.tags is second.tags
        assert first.names is second.names


def test_what_is_made_of_equal_tags_is_made_once(tmp_path: Path) -> None:
    found = site(tmp_path, written_out(f"tags: {{{TAGS}}}", f"tags: {{{TAGS}}}"))
    plan_one, plan_two = plans(found)
    (one,), (two,) = plan_one.tables, plan_two.tables
    assert Normaliser(one)._steps is Normaliser(two)._steps
    layout = layout_of(one, device_options(plan_one.options))
    assert layout is layout_of(two, device_options(plan_two.options))
    assert layout.asks is layout.asks


@pytest.mark.parametrize(
    "key", ["unit: 2", "base: 1", "word_order: little", "max_registers: 3", "max_gap: 0"]
)
def test_devices_that_are_read_in_another_way_share_tags_but_no_plan(
    tmp_path: Path, key: str
) -> None:
    tags = "a: {address: holding/1, type: float32}, b: {address: holding/9}"
    found = site(tmp_path, written_out(f"tags: {{{tags}}}", f"tags: {{{tags}}}, {key}"))
    one, two = plans(found)
    assert found.devices[0].tags is found.devices[1].tags
    layouts = [layout_of(plan.tables[0], device_options(plan.options)) for plan in (one, two)]
    assert layouts[0] is not layouts[1]
    assert [plan.tables[0].names for plan in (one, two)] == [("a", "b")] * 2


def test_what_tags_take_from_their_device_is_not_shared(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        written_out(*(f"tags: {{{TAGS}}}, {own}" for own in ("every: 2s", "report: change"))),
    )
    one, two = (plan.tables[0] for plan in plans(found))
    assert (one.every, two.every) == (2.0, 1.0)
    assert [table.tags[0].report.on_change for table in (one, two)] == [False, True]


def test_one_tag_of_its_own_leaves_the_others_shared(tmp_path: Path) -> None:
    text = f"templates: {{t: {{connector: modbus, tags: {{{TAGS}}}}}}}\ndevices:\n" + "".join(
        f"  - {{id: d{n}, template: t, url: 'tcp://h{n}', tags: {{c: {{address: holding/{n}}}}}}}\n"
        for n in (7, 8)
    )
    one, two = devices(tmp_path, text)
    assert one.tags["a"] is two.tags["a"]
    assert one.tags["b"] is two.tags["b"]
    assert (one.tags["c"].address, two.tags["c"].address) == ("holding/7", "holding/8")


def test_addresses_that_are_equal_as_numbers_and_not_as_written_stay_apart(tmp_path: Path) -> None:
    found = site(
        tmp_path, written_out("tags: {a: {address: 0x9CA5}}", "tags: {a: {address: 40101}}")
    )
    points = [
        point
        for plan in plans(found)
        for pairs in layout_of(plan.tables[0], device_options(plan.options)).points.values()
        for _, point in pairs
    ]
    assert [point.address for point in points] == [0x9CA5, 100]


def test_a_secret_in_a_tag_is_read_for_each_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORDS", "from outside")
    tags = "tags: {a: {address: holding/0, description: !env WORDS}}"
    one, two = devices(tmp_path, written_out(tags, tags))
    assert [device.tags["a"].description for device in (one, two)] == ["from outside"] * 2
    monkeypatch.delenv("WORDS")
    findings = refused(tmp_path / "site.yaml")
    assert [finding.code for finding in findings] == ["missing-secret"] * 2


def test_a_fault_in_shared_tags_is_told_at_its_line_and_counted(tmp_path: Path) -> None:
    text = """
        templates:
          t:
            connector: modbus
            tags:
              a: {address: holding/0}
              b: {address: holding/1, scale: much}
              c: {address: nowhere/1}
        devices:
          - {for: {i: 1..3}, id: "d{i}", url: "tcp://h{i}", template: t}
    """
    found = {finding.code: finding for finding in refused(write(tmp_path, text))}
    assert found.keys() == {"wrong-type", "connector"}
    assert found["wrong-type"].where.endswith("site.yaml:9:38")
    assert found["connector"].where.endswith("site.yaml:10:20")
    assert all("2 more" in finding.en for finding in found.values())


def test_devices_of_two_loads_are_equal_and_a_changed_tag_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path, written_out(f"tags: {{{TAGS}}}", f"tags: {{{TAGS}}}"))
    before = load(path).devices
    assert load(path).devices == before
    path.write_text(path.read_text().replace("range: [0, 9]", "range: [0, 8]", 1))
    after = load(path).devices
    assert [one == two for one, two in zip(before, after, strict=True)] == [False, True]
