"""From a site to device plans: tables by period, and the meaning of each tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.modbus.options import ModbusDevice, ModbusTag
from edge_agent.config.compile import plans, staleness, values_per_second
from edge_agent.model import Report
from edge_agent.sdk import DevicePlan
from tests.support.sites import site


def compiled(folder: Path, device: str) -> DevicePlan:
    """The plan of one Modbus device."""
    text = f'devices:\n  - {{id: m, connector: modbus, url: "tcp://h", {device}}}\n'
    (plan,) = plans(site(folder, text))
    return plan


def test_tags_are_grouped_by_period_in_the_order_of_the_file(tmp_path: Path) -> None:
    plan = compiled(
        tmp_path,
        "every: 2s, tags: {a: {address: holding/1}, b: {address: holding/2, every: 100ms},"
        " c: {address: holding/3}, d: {address: holding/4, every: 0.1}}",
    )
    assert [(table.every, table.names) for table in plan.tables] == [
        (0.1, ("b", "d")),
        (2.0, ("a", "c")),
    ]
    assert {table.device for table in plan.tables} == {"m"}
    assert isinstance(plan.options, ModbusDevice)
    assert values_per_second(plan.tables) == pytest.approx(21.0)


def test_a_tag_carries_what_the_file_says(tmp_path: Path) -> None:
    plan = compiled(
        tmp_path,
        "tags: {a: {address: holding/7, scale: 0.1, offset: -4, unit: kW, range: [0, 9], map: "
        "{0: off},"
        " sentinels: [32767], description: d, business_link: energy}}",
    )
    (tag,) = plan.tables[0].tags
    assert isinstance(tag.where, ModbusTag)
    assert tag.where.address == "holding/7"
    assert (tag.scale, tag.offset, tag.unit, tag.low, tag.high) == (0.1, -4.0, "kW", 0.0, 9.0)
    assert (tag.labels, tag.sentinels, tag.description, tag.business_link) == (
        {0: "off"},
        (32767.0,),
        "d",
        "energy",
    )


def test_kind_is_the_connectors_unless_scaling_makes_a_fraction(tmp_path: Path) -> None:
    plan = compiled(
        tmp_path,
        "tags: {a: {address: holding/1}, b: {address: holding/1, scale: 10},"
        " c: {address: holding/1, type: float32}, d: {address: holding/1, type: string, length: "
        "2}}",
    )
    assert [tag.kind for tag in plan.tables[0].tags] == ["int", "float", "float", "text"]


@pytest.mark.parametrize(
    ("device", "tag", "report"),
    [
        ("", "", Report()),
        ("report: change,", "", Report(on_change=True)),
        ("report: change,", "report: always", Report()),
        ("", "report: change, deadband: 0.5", Report(on_change=True, deadband=0.5)),
        ("", "report: change, deadband: 2", Report(on_change=True, deadband=2.0)),
        ("", "report: change, deadband: 1.5%", Report(on_change=True, deadband_percent=1.5)),
        ("", "report: change, max_silence: 5m", Report(on_change=True, max_silence=300.0)),
    ],
)
def test_report_by_change(tmp_path: Path, device: str, tag: str, report: Report) -> None:
    plan = compiled(tmp_path, f"{device} tags: {{a: {{address: holding/1, {tag}}}}}")
    assert plan.tables[0].tags[0].report == report


def test_staleness_is_three_periods_but_at_least_three_seconds(tmp_path: Path) -> None:
    text = (
        'devices:\n  - {{id: m, connector: modbus, url: "tcp://h", {0} tags: {{a: {{address: '
        "holding/1}}}}}}\n"
    )
    (device,) = site(tmp_path, text.format("")).devices
    assert (staleness(device, 0.1), staleness(device, 5.0)) == (3.0, 15.0)
    (device,) = site(tmp_path, text.format("staleness: 1m,")).devices
    assert staleness(device, 5.0) == 60.0


def test_two_loads_of_one_file_are_equal_so_a_reload_can_tell_what_changed(tmp_path: Path) -> None:
    text = (
        'devices:\n  - {id: m, connector: modbus, url: "tcp://h", tags: {a: {address: '
        "holding/1}}}\n"
    )
    assert site(tmp_path, text).devices == site(tmp_path, text).devices
    assert (
        site(tmp_path, text).devices
        != site(tmp_path, text.replace("holding/1", "holding/2")).devices
    )
