"""Coverage comes from evidence, states from what is bad now, transitions are told once."""

from __future__ import annotations

import pytest

from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, Tag, TagTable
from edge_agent.reasons import Cause, cause_of_status

TABLE = TagTable("dev", 1.0, (Tag("a", "float", None), Tag("b", "float", None)))
TIMEOUT = STATUS["BadTimeout"]
SILENT = cause_of_status("BadTimeout")


def health(*, streaming: bool = False) -> DeviceHealth:
    return DeviceHealth("dev", 2, 2.0, 0.0, streaming=streaming)


def good(t: float) -> Batch:
    return Batch(TABLE, int(t * 1e9), [1.0, 2.0])


def test_an_undisturbed_minute_is_covered_but_for_its_first_second() -> None:
    device = health()
    for second in range(1, 61):
        device.due += 1
        device.answered(good(second), float(second), 0.01)
    row = device.row(60.0)
    assert row["covered_s"] == 59.0
    assert (row["due"], row["done"], row["good"], row["bad"]) == (60, 60, 120, 0)
    assert row["state"] == "online"
    assert row["last_good_t"] == 60_000_000_000


def test_time_around_a_failure_is_not_covered() -> None:
    device = health()
    device.answered(good(1), 1.0, 0.0)
    device.answered(good(2), 2.0, 0.0)
    assert device.failed(TIMEOUT, SILENT)
    assert not device.failed(TIMEOUT, SILENT)
    device.answered(good(10), 10.0, 0.0)
    device.answered(good(11), 11.0, 0.0)
    assert device.row(11.0)["covered_s"] == 2.0


def test_a_late_answer_covers_only_what_its_period_allows() -> None:
    device = health()
    device.answered(good(1), 1.0, 0.0)
    device.answered(good(9), 9.0, 0.0)
    assert device.row(9.0)["covered_s"] == 1.5


def test_a_device_is_degraded_while_one_tag_is_bad_and_says_so_once() -> None:
    device = health()
    device.answered(good(1), 1.0, 0.0)
    assert device.row(1.0)["transition"]["to"] == "online"
    device.answered(Batch(TABLE, 2, [1.0, None], {1: TIMEOUT}), 2.0, 0.0)
    row = device.row(2.0)
    assert (row["state"], row["reason"]) == ("degraded", "BadTimeout")
    assert (row["transition"]["from"], row["transition"]["to"]) == ("online", "degraded")
    assert row["transition"]["zh"]
    device.answered(Batch(TABLE, 3, [1.0], columns=[0]), 3.0, 0.0)
    row = device.row(3.0)
    assert row["state"] == "degraded"
    assert "transition" not in row
    device.answered(Batch(TABLE, 4, [5.0], columns=[1]), 4.0, 0.0)
    assert device.row(4.0)["state"] == "online"


def test_all_tags_bad_is_offline_and_covers_nothing() -> None:
    device = health()
    for second in range(1, 10):
        device.answered(Batch.failed(TABLE, second, TIMEOUT), float(second), 0.0)
    row = device.row(10.0)
    assert row["state"] == "offline"
    assert row["covered_s"] == 0.0
    assert row["bad"] == 18
    assert row["last_good_t"] is None


def test_a_quiet_subscription_counts_its_unchanged_readings_while_it_proves_itself() -> None:
    device = health(streaming=True)
    device.answered(good(0), 0.0, 0.0)
    for second in (5.0, 10.0):
        device.proven(second, 10.0, int(second * 1e9))
    row = device.row(10.0)
    assert row["covered_s"] == 10.0
    assert (row["good"], row["bad"]) == (20, 0)
    device.failed(TIMEOUT, SILENT)
    row = device.row(20.0)
    assert (row["good"], row["bad"]) == (0, 20)


def test_a_subscription_that_publishes_more_seldom_than_asked_is_covered_all_the_same() -> None:
    device = health(streaming=True)
    # the tags' period is a second; what comes proves that the link lives
    for second in (
        0.0,
        3.0,
        6.0,
        9.0,
    ):
        device.answered(good(int(second)), second, 0.0)
    assert device.row(9.0)["covered_s"] == 9.0


def test_readings_between_two_seldom_signs_of_life_are_counted_once_and_as_good() -> None:
    device = health(streaming=True)
    rows = []
    for second in range(61):
        if second % 3 == 0:
            device.answered(good(second), float(second), 0.0)
        if second and second % 5 == 0:  # a row comes in the middle of two signs
            rows.append(device.row(float(second)))
    assert sum(row["bad"] for row in rows) == 0
    # two tags a second; the last sign came with the last row
    assert sum(row["good"] for row in rows) == 2 * 60
    assert sum(row["covered_s"] for row in rows) == 60.0


def test_a_subscription_that_falls_silent_loses_every_reading_since_its_last_sign() -> None:
    device = health(streaming=True)
    device.answered(good(0), 0.0, 0.0)
    rows = [device.row(float(second)) for second in range(5, 65, 5)]
    assert sum(row["good"] + row["bad"] for row in rows) == pytest.approx(2 * 60, abs=2)
    assert sum(row["bad"] for row in rows) >= 2 * 60 - 2


def test_a_keep_alive_covers_nothing_while_no_tag_is_good() -> None:
    device = health(streaming=True)
    device.proven(1.0, 10.0, 1)
    assert device.last_good_t is None
    device.answered(Batch.failed(TABLE, 2, TIMEOUT), 2.0, 0.0)
    for second in range(3, 10):
        device.proven(float(second), 10.0, second)
    row = device.row(10.0)
    assert (row["state"], row["covered_s"], row["last_good_t"]) == ("offline", 0.0, None)


def test_a_row_carries_the_judgement_after_ne_107_and_its_reasons() -> None:
    device = health()
    assert device.row(0.0)["ne107"] == {
        "number": 2,
        "name": "CHECK_FUNCTION",
        "reasons": ["starting"],
    }
    device.answered(good(1), 1.0, 0.0)
    assert device.row(1.0)["ne107"] == {"number": 0, "name": "NORMAL", "reasons": []}
    device.failed(TIMEOUT, SILENT)
    assert device.row(2.0)["ne107"] == {"number": 1, "name": "FAILURE", "reasons": ["BadTimeout"]}


def test_a_device_that_cannot_keep_up_is_out_of_specification() -> None:
    device = health()
    device.answered(good(1), 1.0, 0.0)
    device.due, device.overruns = 10, 5
    assert device.row(5.0)["ne107"]["reasons"] == ["overruns"]
    assert device.overruns_total == 5
    device.due = 10
    assert device.row(10.0)["ne107"]["reasons"] == []


def test_an_uncertain_tag_is_out_of_specification_and_stays_online() -> None:
    device = health()
    device.answered(
        Batch(TABLE, 1, [1.0, 9.0], {1: STATUS["UncertainEngineeringUnitsExceeded"]}), 1.0, 0.0
    )
    row = device.row(1.0)
    assert (row["state"], row["ne107"]["name"]) == ("online", "OFF_SPEC")
    assert row["tag_transitions"][0]["tag"] == "b"


def test_tags_that_change_are_told_in_the_row_and_those_of_a_dead_device_are_not() -> None:
    device = health()
    device.answered(good(1), 1.0, 0.0)
    assert "tag_transitions" not in device.row(1.0)
    device.answered(Batch(TABLE, 2, [1.0, None], {1: TIMEOUT}), 2.0, 0.0)
    (move,) = device.row(2.0)["tag_transitions"]
    assert (move["tag"], move["from"], move["to"]) == ("b", "Good", "BadTimeout")
    device.answered(Batch.failed(TABLE, 3, TIMEOUT), 3.0, 0.0)
    row = device.row(3.0)
    assert row["transition"]["to"] == "offline"
    assert "tag_transitions" not in row
    device.answered(good(4), 4.0, 0.0)
    (move,) = device.row(4.0)["tag_transitions"]
    assert (move["tag"], move["from"], move["to"]) == ("b", "BadTimeout", "Good")


def test_the_offset_of_the_devices_clock_is_in_the_row_and_beyond_tolerance_a_finding() -> None:
    device = DeviceHealth("dev", 2, 2.0, 0.0, clock_tolerance=10.0)
    for second in (1, 2, 3):
        batch = Batch(TABLE, second * 10**9, [1.0, 2.0], source=[(second + 30) * 10**9, None])
        device.answered(batch, float(second), 0.0)
        device.clock.polled(batch, float(second))
    row = device.row(3.0)
    assert row["clock_offset_ms"] == 30_000.0
    assert row["ne107"] == {"number": 3, "name": "OFF_SPEC", "reasons": ["clock_offset"]}
    assert row["good"] == 6, "a wrong clock makes no value bad"


def test_totals_are_the_sum_of_all_rows() -> None:
    device = health()
    rows = []
    for second in range(1, 8):
        device.due += 1
        device.answered(good(second), float(second), 0.25)
        if second % 3 == 0:
            rows.append(device.row(float(second)))
    totals = device.totals
    assert (totals["due"], totals["done"], totals["good"], totals["latency"]) == (7, 7, 14, 1.75)
    assert sum(row["good"] for row in rows) == 12


@pytest.mark.parametrize(
    ("status", "unreached"), [("BadTimeout", True), ("BadSensorFailure", False)]
)
def test_a_device_that_answers_with_bad_values_is_offline_but_reached(
    status: str, unreached: bool
) -> None:
    device = health()
    bad = STATUS[status]
    device.answered(Batch(TABLE, 1, [None, None], {0: bad, 1: bad}), 1.0, 0.0)
    assert device.state == "offline"
    assert device.unreached == unreached


def test_an_optional_tag_that_is_not_there_is_no_fault_of_the_device() -> None:
    tags = (
        Tag("a", "float", None),
        Tag("b", "float", None, optional=True),
        Tag("c", "float", None, optional=True),
    )
    table = TagTable("dev", 1.0, tags)
    made = DeviceHealth("dev", 3, 3.0, 0.0)
    absent = {1: STATUS["BadNodeIdUnknown"], 2: STATUS["BadConfigurationError"]}
    for t in (1.0, 2.0):
        made.answered(Batch(table, round(t * 1e9), [1.0, None, None], dict(absent)), t, 0.01)
    assert (made.state, made.reason) == ("online", "")
    assert (made.tags.bad, made.tags.absent, made.tags.absent_tags()) == (0, 2, ["b", "c"])
    assert made.tags.not_good() == []
    row = made.row(2.0)
    assert (row["good"], row["bad"], row["values"]) == (2, 0, 2)
    assert "tag_transitions" not in row
    assert row["ne107"]["name"] == "NORMAL"
    made.answered(
        Batch(table, 3, [1.0, None, None], {1: STATUS["BadTimeout"], 2: absent[2]}), 3.0, 0.01
    )
    assert (made.state, made.reason, made.tags.absent) == ("degraded", "BadTimeout", 1), (
        "it is there, and silent"
    )
    made.answered(
        Batch(table, 4, [None, None, None], {0: STATUS["BadSensorFailure"], **absent}), 4.0, 0.01
    )
    assert (made.state, made.reason) == ("offline", "BadSensorFailure")


def test_an_optional_tag_that_comes_is_absent_no_more() -> None:
    table = TagTable("dev", 1.0, (Tag("a", "float", None), Tag("b", "float", None, optional=True)))
    made = DeviceHealth("dev", 2, 2.0, 0.0)
    made.answered(Batch(table, 1, [1.0, None], {1: STATUS["BadNodeIdUnknown"]}), 1.0, 0.01)
    assert made.tags.absent == 1
    made.answered(Batch(table, 2, [1.0, 2.0], {}), 2.0, 0.01)
    assert (made.state, made.tags.absent, made.tags.absent_tags()) == ("online", 0, [])


def test_a_device_that_has_none_of_its_optional_tags_is_not_online() -> None:
    table = TagTable("dev", 1.0, (Tag("a", "float", None, optional=True),))
    made = DeviceHealth("dev", 1, 1.0, 0.0)
    made.answered(Batch(table, 1, [None], {0: STATUS["BadNodeIdUnknown"]}), 1.0, 0.01)
    assert (made.state, made.reason) == ("offline", "BadConfigurationError")
    assert made.cause is not None
    assert made.cause.name == "all_absent"


def test_a_subscription_counts_no_readings_of_absent_tags() -> None:
    table = TagTable("dev", 1.0, (Tag("a", "float", None), Tag("b", "float", None, optional=True)))
    made = DeviceHealth("dev", 2, 2.0, 0.0, streaming=True)
    made.answered(Batch(table, 1, [1.0, None], {1: STATUS["BadNodeIdUnknown"]}), 0.0, 0.01)
    for now in range(1, 11):
        made.proven(float(now), 1.0, now)
    row = made.row(10.0)
    assert (row["good"], row["bad"]) == (10, 0)


def test_the_cause_of_what_is_uncertain_stands_in_the_place_of_the_general_sentence() -> None:
    device = health()
    status, why = (
        STATUS["UncertainConfigurationError"],
        Cause("modbus_other_units", "单元 2 没有应答。", "2 silent."),
    )
    doubted = good(1)
    doubted.status, doubted.causes = {0: status, 1: status}, {0: why, 1: why}
    device.answered(doubted, 1.0, 0.0)
    (notice,) = device.judgement().notices
    assert (device.state, notice.reason, notice.en) == (
        "online",
        "UncertainConfigurationError",
        "2 silent.",
    )
    device.answered(good(2), 2.0, 0.0)
    assert device.judgement().notices == ()


def test_a_device_that_stays_offline_has_a_row_each_half_minute_and_no_second_is_lost() -> None:
    """Its turn comes every 5 s; the wall clock is 3 s ahead of the monotonic one."""
    device = health()
    rows = []
    for second in range(1, 146):
        now = float(second)
        if second == 10:
            assert device.failed(TIMEOUT, SILENT)
        if second <= 4 or second == 121:
            device.due += 1
            device.answered(good(second), now, 0.0)
        elif second < 121:
            device.missed(1, 2)
        early = device.changed
        if (early or second % 5 == 0) and (device.row_due((second + 3) * 1_000_000_000) or early):
            rows.append((second, device.row(now)))
    assert [second for second, _ in rows] == [
        1,
        5,
        10,
        30,
        60,
        90,
        120,
        121,
        125,
        130,
        135,
        140,
        145,
    ]
    assert sum(row["scheduled_s"] for _, row in rows) == 145.0
    assert sum(row["good"] + row["bad"] for _, row in rows) == 2 * 121
    assert [row["state"] for _, row in rows[:3]] == ["online", "online", "offline"]


def test_a_device_whose_values_are_all_bad_but_answers_has_all_its_rows() -> None:
    device = health()
    bad = Batch(TABLE, 1, [None, None], {0: TIMEOUT, 1: TIMEOUT})
    for second in (1, 2, 3):
        device.answered(bad, float(second), 0.0)
        assert device.row_due(second * 1_000_000_000)
        assert device.row(float(second))["state"] == "offline"
    device.missed(1, 2)
    assert not device.row_due(4_000_000_000), "it answers no longer"
