"""Coverage comes from evidence, states from what is bad now, transitions are told once."""

from __future__ import annotations

from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, Tag, TagTable

TABLE = TagTable("dev", 1.0, (Tag("a", "float", None), Tag("b", "float", None)))
TIMEOUT = STATUS["BadTimeout"]


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
    assert device.failed(TIMEOUT, "no answer")
    assert not device.failed(TIMEOUT, "no answer")
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
        device.alive(second, 10.0, int(second * 1e9))
    row = device.row(10.0)
    assert row["covered_s"] == 10.0
    assert (row["good"], row["bad"]) == (20, 0)
    device.failed(TIMEOUT, "")
    row = device.row(20.0)
    assert (row["good"], row["bad"]) == (0, 20)
