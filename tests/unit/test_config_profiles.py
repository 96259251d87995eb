"""Profiles: where they are found, how they are laid under a device, and what keeps their addresses
right."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import load
from edge_agent.config.profiles import available, bundled
from tests.support.sites import HEAD, refused, site, write

METER = """\
name: meter
title: {zh: 电表, en: Meter}
connector: modbus
source: [manual]
defaults: {every: 10s, word_order: little, unit: 2}
state: {item: {tag: power, map: {1: Executing}}}
tags:
  power: {address: holding/0, type: float32, unit: kW, map: {0: a}}
  energy: {address: holding/2, type: float32, unit: kWh}
"""


def test_a_profile_stands_above_defaults_and_below_template_and_device(tmp_path: Path) -> None:
    write(tmp_path, METER, "profiles/meter.yaml", head="")
    (device,) = site(
        tmp_path,
        """
        defaults: {modbus: {every: 1m, timeout: 200ms, word_order: big}}
        templates: {t: {unit: 5, word_order: big-swapped}}
        devices:
          - {id: m, profile: meter, template: t, unit: 6, url: "tcp://h", tags: {power: {unit: W}, energy: null}}
        """,
    ).devices
    assert (device.connector, device.every, device.timeout) == ("modbus", 10.0, 0.2)  # type: ignore[attr-defined]
    assert (device.unit, device.word_order) == (6, "big-swapped")  # type: ignore[attr-defined]
    assert list(device.tags) == ["power"]
    assert (device.tags["power"].unit, device.tags["power"].type) == ("W", "float32")
    assert device.state is not None


def test_base_of_the_device_does_not_shift_the_addresses_of_a_profile(tmp_path: Path) -> None:
    write(tmp_path, METER, "profiles/meter.yaml", head="")
    (device,) = site(
        tmp_path,
        """
        devices:
          - id: m
            profile: meter
            base: 1
            url: tcp://h
            tags: {own: {address: holding/9}, energy: {address: holding/3}}
        """,
    ).devices
    assert device.base == 1  # type: ignore[attr-defined]
    assert device.tags["power"].base == 0
    assert device.tags["own"].base is None
    assert device.tags["energy"].base is None


def test_a_profile_by_path_and_one_that_hides_a_bundled_one(tmp_path: Path) -> None:
    name = next(iter(available()))
    write(tmp_path, METER.replace("name: meter", f"name: {name}"), f"profiles/{name}.yaml", head="")
    write(tmp_path, METER, "maps/mine.yaml", head="")
    first, second = site(
        tmp_path,
        f"""
        devices:
          - {{id: a, profile: maps/mine.yaml, url: "tcp://h"}}
          - {{id: b, profile: {name}, url: "tcp://h"}}
        """,
    ).devices
    assert list(first.tags) == list(second.tags) == ["power", "energy"]


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    write(tmp_path, METER, "meter.yaml", head="")
    path = write(tmp_path, 'devices: [{id: a, profile: ../meter, url: "tcp://h"}]')
    assert [finding.code for finding in refused(path)] == ["unknown-profile"]


@pytest.mark.parametrize("name", sorted(available()))
def test_every_bundled_profile_loads_with_its_connector(tmp_path: Path, name: str) -> None:
    path = bundled() / f"{name}.yaml"
    modbus = "connector: modbus" in path.read_text(encoding="utf-8")
    where, own = ("url: tcp://h:502", "holding/0") if modbus else ("endpoint: opc.tcp://h:4840", "")
    tags = f", tags: {{own_tag: {{address: {own}}}}}" if own else ""
    (device,) = load(
        write(tmp_path, f"devices: [{{id: d, profile: {name}, {where}{tags}}}]\n", head=HEAD)
    ).devices
    assert device.tags
