"""Names, times and values as people write and read them."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edge_agent.app.values.names import selected
from edge_agent.app.values.span import moment, window
from edge_agent.app.values.text import age, for_file, for_people, iso, number
from edge_agent.errors import FindingsError

KNOWN = {
    "meter-1": ["volt", "volt_l2", "amp"],
    "meter-2": ["volt"],
    "plc[1]": ["a/b", "状态"],
    "x:y": ["z"],
}
AGENTS = dict.fromkeys(KNOWN, "ipc-01") | {"meter-2": "ipc-02"}
ZONE = ZoneInfo("Asia/Shanghai")
HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], KNOWN),
        (["meter-1"], {"meter-1": ["volt", "volt_l2", "amp"]}),
        (["meter-*/volt*"], {"meter-1": ["volt", "volt_l2"], "meter-2": ["volt"]}),
        (["ipc-02:*"], {"meter-2": ["volt"]}),
        (["ipc-0?:meter-?/amp"], {"meter-1": ["amp"]}),
        (["meter-1/amp", "meter-1/volt"], {"meter-1": ["volt", "amp"]}),
        (["plc[1]/a/b"], {"plc[1]": ["a/b"]}),
        (["x:y/z"], {"x:y": ["z"]}),
        (["*/状态"], {"plc[1]": ["状态"]}),
    ],
)
def test_names_mean_tags_in_the_order_of_the_file(
    names: list[str], found: dict[str, list[str]]
) -> None:
    assert selected(names, AGENTS, KNOWN) == found


@pytest.mark.parametrize(
    ("name", "code", "hint"),
    [
        ("meter-3/volt", "unknown-device", "'meter-"),
        ("meter-1/vlot", "unknown-tag", "'volt'"),
        ("ipc-03:meter-1", "unknown-agent", "'ipc-0"),
        ("ipc-02:meter-1/volt", "unknown-device", "'meter-2'"),
        ("zz*", "unknown-device", "meter-1"),
        ("/volt", "unknown-device", "meter-1"),
        ("meter-1/", "unknown-tag", "amp"),
    ],
)
def test_a_name_that_means_nothing_is_told_with_the_nearest(
    name: str, code: str, hint: str
) -> None:
    with pytest.raises(FindingsError) as caught:
        selected([name, "meter-1"], AGENTS, KNOWN)
    (finding,) = caught.value.findings
    assert (finding.code, finding.where) == (code, name)
    assert hint in finding.en
    assert hint in finding.zh


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-30 08:00", "2026-11-30T08:00:00+08:00"),
        ("2026-11-30", "2026-11-30T00:00:00+08:00"),
        ("2026/11/30 08:00:01.5", "2026-11-30T08:00:01.500+08:00"),
        ("2026-11-30T00:00:00Z", "2026-11-30T08:00:00+08:00"),
        ("20261130T0800", "2026-11-30T08:00+08:00"),
    ],
)
def test_times_are_those_of_the_site_unless_they_say_otherwise(text: str, same: str) -> None:
    assert moment(text, ZONE) == moment(same, ZoneInfo("UTC"))


@pytest.mark.parametrize(
    "text", ["yesterday", "", "2026-13-01", "9999-12-31", "1969-01-01", "8:00", "0001-01-01"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(FindingsError, match=r"2026-11-30 08:00"):
        moment(text, ZONE)


def test_windows() -> None:
    now = moment("2026-11-30 16:00", ZONE)
    assert window(None, None, None, ZONE, now) == (now - 8 * HOUR, now)
    assert window("30m", None, "2026-11-30 12:00", ZONE, now) == (
        now - 9 * HOUR // 2,
        now - 4 * HOUR,
    )
    assert window(None, "2026-11-30 08:00", None, ZONE, now) == (now - 8 * HOUR, now)
    for since, begin, until in (
        ("8h", "2026-11-30", None), (None, "2026-12-01", None), (None, "2026-11-30", "2026-11-30"), ("-1h", None, None),
        ("nan", None, None), ("99999999999", None, None), ("8 hours", None, None),
    ):  # fmt: skip
        with pytest.raises(FindingsError):
            window(since, begin, until, ZONE, now)


@pytest.mark.parametrize(
    ("value", "people", "file"),
    [
        (None, "—", ""),
        (True, "true", "true"),
        (230.70000000000002, "230.7", "230.70000000000002"),
        (8000.39990234375, "8000.3999", "8000.39990234375"),
        (12345678912.5, "12345678912", "12345678912.5"),
        (2.5e-41, "2.5e-41", "2.5e-41"),
        (2**63, str(2**63), str(2**63)),
        ("O1000\x1b[2J\n", "O1000\\x1b[2J\\n", "O1000\x1b[2J\n"),
        ([1, 2.5], "[1, 2.5]", "[1, 2.5]"),
        (["次", "b"], "[次, b]", '["次", "b"]'),
    ],
)
def test_values_for_people_and_for_files(value: Any, people: str, file: str) -> None:
    assert for_people(value) == people
    assert for_file(value) == file


def test_numbers_ages_and_times_in_short() -> None:
    assert for_people(3, "Executing") == "3 Executing"
    assert [number(v) for v in (0.0, -0.25, 0.00001234, 1e20)] == [
        "0",
        "-0.25",
        "0.00001234",
        "1e+20",
    ]
    assert [age(s) for s in (None, 0.04, 59, 600, 7300, 200_000)] == [
        "—",
        "0.0 s",
        "59 s",
        "10 min",
        "2 h",
        "2 d",
    ]
    t = moment("2026-11-30 08:00", ZONE)
    assert [iso(t + rest, ZONE)[19:] for rest in (0, 1_500_000, 1_000, 1)] == [
        ".000+08:00", ".001500+08:00", ".000001+08:00", ".000000001+08:00",
    ]  # fmt: skip
