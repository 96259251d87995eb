"""Constants of a device, its identification in bytes, and the rule of the units that answer:
without a wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.modbus import PLUGIN
from connectors.modbus.answering import ENOUGH, AnsweringUnits
from connectors.modbus.constants import is_identification, is_value
from connectors.modbus.frame import (
    IdentificationRequest,
    ProtocolError,
    answer,
    identification_objects,
)
from connectors.modbus.known_units import KnownUnits
from connectors.modbus.options import Constant
from edge_agent.config import load
from edge_agent.errors import ConfigError
from tests.support.modbus_wire import make_plan

TEXTS = {0: b"Company identification", 1: b"Product code XX", 2: b"V2.11"}


def identification(texts: dict[int, bytes] = TEXTS, more: int = 0, following: int = 0) -> bytes:
    """The answer of the specification's example (V1.1b3, 6.21), behind unit 1."""
    body = b"".join(bytes((number, len(text))) + text for number, text in texts.items())
    return bytes((1, 0x2B, 0x0E, 1, 1, more, following, len(texts))) + body


def test_the_example_of_the_specification():
    request = IdentificationRequest(1)
    assert request.adu == bytes.fromhex("01 2b 0e 01 00")
    data = answer(request, identification())
    assert isinstance(data, bytes)
    assert identification_objects(data) == (TEXTS, None)
    data = answer(request, identification({0: b"Company"}, 0xFF, 1))
    assert isinstance(data, bytes)
    assert identification_objects(data) == ({0: b"Company"}, 1)
    assert answer(request, b"\x01\xab\x01") == 1


@given(
    st.binary(max_size=40)
    | st.builds(lambda n, b: identification()[:n] + b, st.integers(2, 60), st.binary())
)
def test_any_bytes_are_an_identification_or_refused(adu: bytes):
    try:
        data = answer(IdentificationRequest(1), adu)
    except ProtocolError:
        return
    if isinstance(data, bytes):
        objects, _ = identification_objects(data)
        assert sum(2 + len(text) for text in objects.values()) <= len(data) - 5


# --- constants ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "value", "same"),
    [
        ({"address": "holding/0", "equals": 1234}, 1234, True),
        ({"address": "holding/0", "equals": 1234}, 1235, False),
        (
            {"address": "holding/0", "type": "float32", "equals": 1.1},
            1.10000002384185791015625,
            True,
        ),
        (
            {"address": "holding/0", "type": "float64", "equals": 1.1},
            1.10000002384185791015625,
            False,
        ),
        ({"address": "holding/0", "type": "uint64", "equals": 2**64 - 1}, 2**64 - 1, True),
        ({"address": "holding/0", "type": "uint64", "equals": 2**64 - 1}, 2**64 - 2, False),
        ({"address": "holding/0", "type": "string", "length": 4, "equals": "X1"}, "X1  ", True),
        ({"address": "holding/0", "type": "string", "length": 4, "equals": "12"}, "13", False),
        ({"address": "coil/0", "type": "bool", "equals": True}, True, True),
        ({"address": "coil/0", "type": "bool", "equals": 1}, False, False),
        ({"address": "holding/0", "equals": 1234}, None, False),
    ],
)
def test_a_register_has_its_value(keys: dict[str, Any], value: Any, same: bool):
    assert is_value(Constant(**keys), value) is same


@pytest.mark.parametrize(
    ("keys", "same"),
    [
        ({"vendor": "ACME"}, True),
        ({"vendor": "acme"}, False),
        ({"product": "X1*", "revision": "2.?"}, True),
        ({"product": "X2*", "revision": "2.?"}, False),
        ({"vendor": "*"}, True),
    ],
)
def test_texts_are_compared_as_patterns(keys: dict[str, str], same: bool):
    assert (
        is_identification(
            Constant(**keys), {"vendor": "ACME", "product": "X100", "revision": "2.1"}
        )
        is same
    )


@pytest.mark.parametrize(
    ("constant", "key"),
    [
        ({}, "identify.0.equals"),
        ({"address": "holding/0"}, "identify.0.address"),
        ({"equals": 1}, "identify.0.equals"),
        ({"type": "uint16", "vendor": "ACME"}, "identify.0.vendor"),
        ({"address": "holding/0", "equals": 1, "vendor": "ACME"}, "identify.0.vendor"),
        ({"address": "nothing/0", "equals": 1}, "identify.0.address"),
        ({"address": "holding/0", "equals": 70000}, "identify.0.equals"),
        ({"address": "holding/0", "equals": -1}, "identify.0.equals"),
        ({"address": "holding/0", "equals": 1.5}, "identify.0.equals"),
        ({"address": "holding/0", "equals": "1234"}, "identify.0.equals"),
        ({"address": "holding/0", "type": "bcd16", "equals": 10000}, "identify.0.equals"),
        ({"address": "holding/0", "type": "string", "equals": "ab"}, "identify.0.length"),
        (
            {"address": "holding/0", "type": "string", "length": 2, "equals": "abc"},
            "identify.0.equals",
        ),
        ({"address": "coil/0", "type": "bool", "equals": 2}, "identify.0.equals"),
        ({"address": "holding/0.3", "type": "uint16", "equals": 1}, "identify.0.type"),
    ],
)
def test_what_is_wrong_with_a_constant_is_said_at_its_place(constant: dict[str, Any], key: str):
    plan = make_plan("tcp://h", {"a": {"address": "holding/0"}}, identify=[constant])
    (problem,) = PLUGIN.check(plan)
    assert problem.key == key
    assert problem.zh
    assert problem.en


@pytest.mark.parametrize(
    ("constants", "column"),
    [
        ("[{address: holding/0, equals: 70000}]", "equals: 70000"),
        ("[{vendor: ACME}, {vendor: ACME, serial: 1}]", "serial"),
        ("[{address: holding/0, type: uint17, equals: 1}]", "uint17"),
        ("{vendor: ACME}", "{vendor"),
        ("[{vendor: 7}]", "7}"),
    ],
)
def test_check_names_line_and_column(tmp_path: Path, constants: str, column: str):
    line = f"    identify: {constants}"
    path = tmp_path / "site.yaml"
    path.write_text(
        "agent: {id: a, site: s}\nmqtt: {url: 'mqtt://h'}\ndevices:\n  - id: d\n    connector: "
        "modbus\n"
        f"    url: tcp://h\n    tags: {{a: {{address: holding/0}}}}\n{line}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    (finding,) = caught.value.findings
    at = line.index(column) + 1 + (len("equals: ") if column.startswith("equals") else 0)
    assert finding.where.endswith(f"site.yaml:8:{at}"), finding


# --- the units that answer ------------------------------------------------------------------------


def reopened(configured: int, present: set[int]) -> tuple[AnsweringUnits, KnownUnits]:
    """A bus with units 1 to `configured`, of which some answered before the port was opened."""
    known = KnownUnits(None, "/dev/ttyUSB0")
    for unit in present:
        known.add_present(unit)
    made = AnsweringUnits(range(1, configured + 1), known)
    made.begin(0)
    return made, known


def observe(
    units: AnsweringUnits, answering: set[int], silent: set[int], rounds: int = ENOUGH + 1
) -> None:
    for _ in range(rounds):
        for unit in sorted(answering | silent):
            (units.answered if unit in answering else units.failed)(unit)


@pytest.mark.parametrize(
    ("present", "silent", "doubtful"),
    [
        ({1}, set(), []),
        ({1, 2}, {2}, [2]),
        ({1, 2, 3}, {3}, []),
        ({1, 2, 3}, {2, 3}, [2, 3]),
        ({1, 2, 3, 4, 5}, {3, 5}, [3, 5]),
        ({1, 2, 3, 4, 5}, {5}, []),
        ({1, 3}, {2, 3}, [3]),
        ({2, 3}, {2, 3}, [2, 3]),
        ({2}, {2}, [2]),
        (set(), {2, 3}, []),
    ],
)
def test_who_is_silent_after_an_opening(present: set[int], silent: set[int], doubtful: list[int]):
    """`silent` of the units 1 to 5 do not answer."""
    units, known = reopened(5, present)
    observe(units, set(range(1, 6)) - silent, silent)
    assert units.doubtful() == doubtful
    if not doubtful:
        assert known.present == set(range(1, 6)) - silent


def test_a_unit_that_dies_while_others_answer_is_not_awaited_later():
    units, known = reopened(3, {1, 2, 3})
    observe(units, {1, 2, 3}, set())
    observe(units, {1}, {2, 3})
    assert known.present == {1}
    units.begin(1)
    observe(units, {1}, {2, 3})
    assert units.doubtful() == []


def test_all_silent_is_no_sign_of_anything_and_awaited_later():
    units, known = reopened(3, {1, 2, 3})
    observe(units, {1, 2, 3}, set())
    observe(units, set(), {1, 2, 3})
    assert known.present == {1, 2, 3}
    units.begin(1)
    observe(units, {1}, {2, 3})
    assert units.doubtful() == [2, 3]
    units.answered(2)
    assert units.doubtful() == [3], "until all answer again"
    units.answered(3)
    assert units.doubtful() == []


def test_the_doubt_outlives_a_restart():
    units, known = reopened(3, {1, 2, 3})
    observe(units, {1}, {2, 3}, rounds=10)
    again = AnsweringUnits([1, 2, 3], known)
    again.begin(0)
    observe(again, {1}, {2, 3})
    assert again.doubtful() == [2, 3]
    assert again.confirm() == [2, 3]
    assert (again.doubtful(), known.present) == ([], {1})
