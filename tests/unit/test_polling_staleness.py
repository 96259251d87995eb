"""No value stays good that nobody confirmed within its limit, whatever the reason of the
silence."""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.errors import DeviceError
from edge_agent.health import DeviceHealth
from edge_agent.model import STATUS, Batch, Report, Tag, TagTable, status_name
from edge_agent.normalise import Normaliser
from edge_agent.polling.device import EARLY_ROWS, PolledDevice
from edge_agent.polling.staleness import Staleness
from edge_agent.sdk import DevicePlan, Options

FAST = TagTable("d", 1.0, (Tag("a", "float", None), Tag("b", "float", None)))
SLOW = TagTable("d", 60.0, (Tag("c", "float", None, report=Report(on_change=True)),))


class Bench:
    """A device with what it sends and how often it tells."""

    def __init__(
        self, *tables: TagTable, streaming: bool = False, staleness: float | None = None
    ) -> None:
        self.sent: list[Batch] = []
        self.rows: list[dict[str, object]] = []
        self.health = DeviceHealth("d", sum(map(len, tables)), 1.0, 0.0, streaming=streaming)
        tell: Callable[[PolledDevice], None] = lambda device: self.rows.append(  # noqa: E731
            device.health.row(0.0)
        )
        normalisers = {table: Normaliser(table) for table in tables}
        plan = DevicePlan("d", Options(), tables)
        self.device = PolledDevice(
            plan, normalisers, self.health, self.sent.append, tell, staleness
        )
        self.device.staleness.begin(0.0)

    def bad(self) -> list[tuple[str, str]]:
        """Tags said to be bad since the last call."""
        found = []
        for batch in self.sent:
            columns = range(len(batch.values)) if batch.columns is None else batch.columns
            names = [batch.table.names[position] for position in columns]
            found += [(names[index], status_name(code)) for index, code in batch.status.items()]
        self.sent.clear()
        return found

    def answer(self, table: TagTable, now: float) -> None:
        self.device.answered(Batch(table, int(now * 1e9), [1.0] * len(table)), now)


def test_a_frozen_device_is_bad_when_its_limit_is_over_and_each_table_has_its_own() -> None:
    bench = Bench(FAST, SLOW)
    bench.answer(FAST, 1.0)
    bench.answer(SLOW, 1.0)
    bench.device.watch(3.9, 39)
    assert bench.bad() == []
    bench.device.watch(4.1, 41)
    assert bench.bad() == [("a", "BadTimeout"), ("b", "BadTimeout")]
    assert bench.health.state == "degraded"
    bench.device.watch(100.0, 1000)
    assert bench.bad() == [], "told once"
    bench.device.watch(181.1, 1811)
    assert bench.bad() == [("c", "BadTimeout")]
    assert (bench.health.state, bench.health.judgement().health.name) == ("offline", "FAILURE")
    bench.answer(FAST, 200.0)
    assert bench.health.state == "degraded"
    bench.answer(SLOW, 200.0)
    assert bench.health.state == "online"


def test_a_configured_limit_holds_but_never_between_two_reads() -> None:
    bench = Bench(FAST, SLOW, staleness=2.0)
    bench.answer(FAST, 1.0)
    bench.answer(SLOW, 1.0)
    bench.device.watch(3.1, 31)
    assert bench.bad() == [("a", "BadTimeout"), ("b", "BadTimeout")]
    bench.device.watch(90.9, 909)
    assert bench.bad() == []
    bench.device.watch(91.1, 911)
    assert bench.bad() == [("c", "BadTimeout")]


def test_a_device_that_never_answered_waits_for_its_initial_data() -> None:
    for streaming in (False, True):
        bench = Bench(FAST, streaming=streaming)
        bench.device.watch(3.1, 31)
        assert bench.bad() == [("a", "BadWaitingForInitialData"), ("b", "BadWaitingForInitialData")]
        assert bench.health.reason == "BadWaitingForInitialData"
        assert bench.rows[-1]["transition"]


def test_a_tag_that_a_living_subscription_never_reports_is_bad() -> None:
    bench = Bench(FAST, streaming=True)
    bench.device.proven(1.0, 10.0, 1)
    bench.device.answered(Batch(FAST, 1, [1.0], columns=[1]), 1.0)
    assert bench.health.state == "online"
    bench.sent.clear()
    bench.device.watch(3.9, 39)
    assert bench.bad() == []
    bench.device.watch(4.1, 41)
    assert bench.bad() == [("a", "BadWaitingForInitialData")]
    assert bench.health.state == "degraded"
    bench.device.proven(500.0, 10.0, 5)
    bench.device.watch(600.0, 6)
    assert bench.bad() == [], "what was reported stays good as long as the subscription lives"
    bench.device.answered(Batch(FAST, 7, [2.0], columns=[0]), 700.0)
    assert bench.health.state == "online"


def test_after_a_failure_the_reason_stays_that_of_the_failure() -> None:
    bench = Bench(FAST)
    bench.answer(FAST, 1.0)
    bench.device.failed(DeviceError(STATUS["BadNoCommunication"], "refused"), 2, 2.0)
    assert bench.bad() == [("a", "BadNoCommunication"), ("b", "BadNoCommunication")]
    bench.device.watch(1000.0, 3)
    assert bench.bad() == []
    assert bench.health.reason == "BadNoCommunication"


def test_a_new_subscription_must_report_every_tag_again() -> None:
    bench = Bench(FAST, streaming=True)
    bench.device.answered(Batch(FAST, 1, [1.0, 1.0]), 1.0)
    bench.device.failed(DeviceError(STATUS["BadTimeout"], "silent"), 2, 2.0)
    bench.device.answered(Batch(FAST, 3, [1.0], columns=[0]), 3.0)
    assert bench.health.state == "degraded", "the other tag is as bad as the failure left it"
    bench.sent.clear()
    bench.device.watch(7.0, 7)
    assert bench.bad() == [("b", "BadWaitingForInitialData")]


def test_source_times_of_a_subscription_count_from_the_second_report_on() -> None:
    bench = Bench(FAST, streaming=True)
    bench.device.answered(Batch(FAST, 10**18, [1.0, 1.0], source=[1, 1]), 1.0)
    assert bench.health.clock.offset is None, "an initial value may rightly be a year old"
    bench.device.answered(Batch(FAST, 10**18, [2.0], source=[10**18 + 5 * 10**9], columns=[0]), 3.0)
    assert bench.health.clock.offset == 5.0


def test_a_flapping_device_tells_a_bounded_number_of_rows() -> None:
    bench = Bench(FAST)
    for turn in range(100):
        bench.answer(FAST, turn * 0.02)
        bench.device.failed(DeviceError(STATUS["BadTimeout"], "silent"), turn, turn * 0.02 + 0.01)
    assert len(bench.rows) <= EARLY_ROWS + 2
    row = bench.health.row(2.0)
    assert row["transition"]["to"] == "offline", (
        "the state that was not told early is told in the regular row"
    )
    bench.answer(FAST, 60.0)
    assert bench.rows[-1]["transition"] == {
        **bench.rows[-1]["transition"],
        "from": "offline",
        "to": "online",
    }  # type: ignore[dict-item]


def test_confirmation_begins_anew_with_the_loop() -> None:
    staleness = Staleness([FAST], None)
    assert list(staleness.overdue(1e9)) == []
    staleness.begin(0.0)
    assert list(staleness.overdue(4.0)) == [(FAST, None)]


def test_a_pause_of_our_own_is_not_blamed_on_the_device() -> None:
    bench = Bench(FAST)
    bench.answer(FAST, 1.0)
    bench.device.watch(9.0, 90, paused=8.0)
    assert bench.bad() == [("a", "BadTimeout"), ("b", "BadTimeout")], (
        "what nobody confirmed is not good, whoever slept"
    )
    zh, en = bench.health.detail
    assert "采集代理自己停顿了 8 秒" in zh
    assert "no fault of the device" in en
    assert "power" not in en
    bench.answer(FAST, 9.5)
    assert (bench.health.state, bench.health.detail) == ("online", ("", ""))
    bench.device.watch(20.0, 200)
    assert bench.health.cause is not None
    assert bench.health.cause.name == "BadTimeout", "and a silence of the device is its own again"
