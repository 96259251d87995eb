"""Addresses as integrators and vendors write them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from connectors.modbus.address import Location, check_area, locate
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import Area

AREAS = {
    "D": Area(object="holding", base=0x1000, last=4095),
    "D8000": Area(object="holding", base=0x4000, first=8000, last=8511),
    "X": Area(object="discrete", base=0x400, numbering="octal", last=377),
    "M": Area(object="coil", base=0x800, last=1535),
    "QX": Area(object="coil", base=0, numbering="byte.bit", first=0.0, last=8191.7),
    "FD": Area(object="holding", base=0x4800, last=5000, count=5000),
}


@pytest.mark.parametrize(
    ("address", "base", "expected"),
    [
        ("holding/100", 0, Location("holding", 100)),
        ("holding/100", 1, Location("holding", 99)),
        ("Holding/0x10", 0, Location("holding", 16)),
        ("holding/0X10", 1, Location("holding", 15)),
        ("input/0", 0, Location("input", 0)),
        ("coil/5", 0, Location("coil", 5)),
        (" discrete/7 ", 0, Location("discrete", 7)),
        ("holding/65535", 0, Location("holding", 65535)),
        ("holding/65536", 1, Location("holding", 65535)),
        ("holding/100.3", 0, Location("holding", 100, 3)),
        ("holding/100.15", 1, Location("holding", 99, 15)),
        # Modicon: 1-based by definition, whatever `base` says.
        ("40101", 0, Location("holding", 100)),
        (40101, 1, Location("holding", 100)),
        ("400101", 0, Location("holding", 100)),
        ("465536", 0, Location("holding", 65535)),
        ("30001", 0, Location("input", 0)),
        ("10001", 0, Location("discrete", 0)),
        ("00001", 0, Location("coil", 0)),
        ("000017", 0, Location("coil", 16)),
        ("40101.3", 0, Location("holding", 100, 3)),
        ("0x0064", 1, Location("holding", 100)),
        ("0xFFFF", 0, Location("holding", 65535)),
        ("0x64.7", 0, Location("holding", 100, 7)),
        # Vendor areas.
        ("D100", 1, Location("holding", 0x1000 + 100)),
        ("d100.3", 0, Location("holding", 0x1000 + 100, 3)),
        ("D8005", 0, Location("holding", 0x4005)),
        ("X17", 0, Location("discrete", 0x400 + 0o17)),
        ("X377", 0, Location("discrete", 0x4FF)),
        ("M8", 0, Location("coil", 0x808)),
        ("QX3.5", 0, Location("coil", 29)),
        ("QX8191.7", 0, Location("coil", 65535)),
        ("FD4999", 0, Location("holding", 0x4800 + 4999)),
    ],
)
def test_understood(address, base, expected):
    assert locate(address, base, AREAS) == expected


@pytest.mark.parametrize(
    ("address", "base", "says"),
    [
        ("holding/65536", 0, "65536"),
        ("holding/0", 1, "-1"),
        ("40000", 0, "-1"),
        ("499999", 0, "99998"),
        ("holding/100.16", 0, "bits 0"),
        ("holding/1.003", 0, "bit 003"),
        ("coil/5.1", 0, "one bit already"),
        ("holdng/100", 0, "not understood"),
        ("100", 0, "not understood"),
        (100, 0, "not understood"),
        ("20001", 0, "not understood"),
        ("holding/１００", 0, "not understood"),
        ("", 0, "not understood"),
        (40101.1, 0, "quotes"),
        ("D4096", 0, "outside"),
        ("D7999", 0, "outside"),
        ("X8", 0, "outside"),
        ("X400", 0, "outside"),
        ("QX3", 0, "outside"),
        ("QX3.8", 0, "outside"),
        ("FD5000", 0, "outside"),
        ("M8.1", 0, "one bit already"),
        ("Z5", 0, "not defined"),
    ],
)
def test_refused_with_the_next_step(address, base, says):
    with pytest.raises(InvalidError, match=says) as caught:
        locate(address, base, AREAS)
    assert caught.value.key == "address"
    assert caught.value.zh.endswith("。")


@pytest.mark.parametrize(
    "area",
    [
        Area(object="coil", base=0, numbering="octal", last=378),
        Area(object="coil", base=0, numbering="byte.bit", first=0.0, last=1.8),
        Area(object="coil", base=0, first=9, last=8),
        Area(object="coil", base=0, last="x"),
    ],
)
def test_areas_that_are_no_range_are_refused(area):
    with pytest.raises(InvalidError):
        check_area("Q", area)


PROFILES = Path(__file__).parents[2] / "configs" / "profiles"


@pytest.mark.parametrize("name", ["delta-dvp", "inovance-am", "inovance-h5u", "xinje-xc"])
def test_the_areas_of_the_bundled_plc_profiles(name):
    document = yaml.safe_load((PROFILES / f"{name}.yaml").read_text(encoding="utf-8"))
    areas = {letters: Area(**keys) for letters, keys in document["areas"].items()}
    for letters, area in areas.items():
        check_area(letters, area)
        first = locate(f"{letters.rstrip('0123456789')}{area.first}", 0, areas)
        assert first == Location(area.object, area.base)
