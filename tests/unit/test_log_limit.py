"""One line per cause, a count a minute, a line at the end, and a bound in bytes: with a clock of
the test's own."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app import logs
from edge_agent.app.log_limit import (
    BURST_BYTES,
    BYTES_PER_PERIOD,
    NEW_CAUSES,
    PERIOD_S,
    LimitedHandler,
    cause_of,
)

MONTH_S = 31 * 86_400
ALLOWED = 50_000_000


class Alarm:
    """Called when the test's clock passes its time."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self.cancelled = at, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class Log:
    """A logger over a limited handler, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        self.alarms: list[Alarm] = []
        self.handler = LimitedHandler(self.out, clock=lambda: self.now, later=self._later)
        self.logger = logging.Logger("edge_agent.x")
        self.logger.addHandler(self.handler)

    def _later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(self.now + seconds, callback))
        return self.alarms[-1]

    def pass_(self, seconds: float) -> None:
        """Time passes, and whatever is due happens."""
        end = self.now + seconds
        while due := [alarm for alarm in self.alarms if alarm.at <= end and not alarm.cancelled]:
            first = min(due, key=lambda alarm: alarm.at)
            self.alarms.remove(first)
            self.now = max(self.now, first.at)
            first.callback()
        self.now = end

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


def test_a_service_without_a_broker_writes_one_line_and_then_one_a_minute() -> None:
    log = Log()
    for second in range(180):
        log.logger.warning(
            "broker-away url=%s retry_s=%.1f reason=%s",
            "mqtt://h:1",
            1 + second / 100,
            "No broker.",
        )
        log.pass_(1)
    first, *counts = log.lines
    assert first == "broker-away url=mqtt://h:1 retry_s=1.0 reason=No broker."
    assert [line.rpartition(" ")[2] for line in counts] == ["count=59", "count=60", "count=60"]
    assert all(line.startswith("broker-away url=mqtt://h:1") for line in counts)
    log.pass_(120)
    assert log.lines[4:] == [
        "broker-away-over count=180 lasted_s=179 last='broker-away url=mqtt://h:1 retry_s=2.8 "
        "reason=No broker.'"
    ]
    log.pass_(3600)
    assert len(log.lines) == 5


def test_two_causes_of_one_event_are_two_lines_and_one_count() -> None:
    log = Log()
    for _ in range(10):
        for device in ("a", "b"):
            log.logger.warning("gone device=%s reason=%r", device, f"no answer from port {log.now}")
        log.pass_(1)
    log.pass_(60)
    assert len(log.lines) == 3
    assert log.lines[2].endswith("count=18 causes=2")


def test_another_reason_is_another_cause_and_another_number_is_not() -> None:
    log = Log()
    for number in range(5):
        log.logger.warning(
            "refused at=%s reason=%s", "x", f"timeout after {number} s from 0x7f{number}"
        )
    log.logger.warning("refused at=%s reason=%s", "x", "no route")
    assert len(log.lines) == 2


def test_two_workers_are_two_causes() -> None:
    log = Log()
    for worker in (1, 2, 1):
        log.logger.error("worker-hangs worker=%d", worker)
    assert log.lines == ["worker-hangs worker=1", "worker-hangs worker=2"]


def test_what_happens_once_is_one_line() -> None:
    log = Log()
    log.logger.warning("disk-slow ms=%d", 12)
    log.pass_(7200)
    assert log.lines == ["disk-slow ms=12"]


def test_an_end_that_is_logged_makes_the_next_time_news_again() -> None:
    log = Log()
    for _ in range(2):
        for _ in range(5):
            log.logger.warning("lost key=%s reason=%s", "a", "refused")
            log.pass_(1)
        log.logger.info("back key=%s", "a", extra={"ends": ("lost", "a")})
    assert [line.split()[0] for line in log.lines] == ["lost", "lost-over", "back"] * 2
    assert "count=5 lasted_s=4" in log.lines[4]


def test_an_end_is_that_of_its_own_subject() -> None:
    log = Log()
    for key in ("a", "b", "b"):
        log.logger.warning("lost key=%s reason=%s", key, "refused")
    log.logger.info("back key=%s", "a", extra={"ends": ("lost", "a")})
    log.logger.warning("lost key=%s reason=%s", "b", "refused")
    log.logger.warning("lost key=%s reason=%s", "a", "refused")
    assert [line.split()[:2] for line in log.lines] == [
        ["lost", "key=a"], ["lost", "key=b"], ["back", "key=a"], ["lost", "key=a"],
    ]  # fmt: skip


def test_what_comes_and_goes_all_the_time_is_counted_too() -> None:
    log = Log()
    for _ in range(1800):
        log.logger.warning("lost key=%s", "a")
        log.logger.info("back key=%s", "a", extra={"ends": "lost"})
        log.pass_(2)
    assert len(log.lines) < 60 * 9


def test_notes_that_are_no_warnings_appear_three_times_a_minute() -> None:
    log = Log()
    for _ in range(9):
        log.logger.info("reload-applied added=%d", 0)
    assert len(log.lines) == 3
    log.pass_(60)
    assert log.lines[3:] == ["reload-applied added=0 count=6"]
    log.pass_(600)
    assert len(log.lines) == 4


def test_a_cause_can_be_named() -> None:
    log = Log()
    for number in range(4):
        log.logger.warning(
            "quarantined id=%s topic=%s", f"{number:x}", "t", extra={"cause": ("t", "not JSON")}
        )
    assert len(log.lines) == 1


@pytest.mark.slow
def test_a_thousand_dead_devices_are_a_hundred_lines_and_a_count() -> None:
    log = Log()
    for _ in range(60):
        for number in range(1000):
            log.logger.warning("lost key=%s", f"plc-{number}")
        log.pass_(1)
    assert len(log.lines) == NEW_CAUSES + 1
    assert log.lines[-1].endswith(f"count={60_000 - NEW_CAUSES} causes={NEW_CAUSES + 1}")


def test_what_answers_a_person_is_written_each_time() -> None:
    log = Log()
    for _ in range(5):
        log.logger.error("reload-finding code=%s", "unknown-key", extra={"always": True})
    assert len(log.lines) == 5


def test_the_last_counts_are_written_at_the_end() -> None:
    log = Log()
    for _ in range(3):
        log.logger.warning("lost key=%s", "a")
    log.handler.close()
    assert log.lines[-1] == "lost key=a count=2"
    assert not [alarm for alarm in log.alarms if not alarm.cancelled]


def test_a_traceback_is_written_once() -> None:
    log = Log()
    for _ in range(3):
        try:
            raise ValueError("x")
        except ValueError:
            log.logger.exception("decode-failed topic=%s", "t")
    assert log.out.getvalue().count("Traceback") == 1


@pytest.mark.parametrize("message", ["100%", "%s %s", "a %d b"])
def test_a_line_that_is_no_template_of_ours_is_written(message: str) -> None:
    log = Log()
    log.logger.warning(message)
    assert log.lines == [message]


def test_a_wrong_template_does_not_end_who_logs(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.logger.warning("a=%d", "no number")
    assert "no number" in capsys.readouterr().err


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.mark.parametrize(
    ("level", "every", "limited"), [("INFO", "", True), ("DEBUG", "", False), ("INFO", "1", False)]
)
def test_every_line_is_written_for_who_looks_closely(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch, level: str, every: str, limited: bool
) -> None:
    monkeypatch.setenv(logs.EVERY_LINE, every)
    logs.configure(level)
    assert [isinstance(handler, LimitedHandler) for handler in root.handlers] == [limited]


def test_words_identify_and_measurements_do_not() -> None:
    record = logging.LogRecord(
        "l", 30, "", 0, "e a=%s n=%d f=%.1f size=%s r=%r %% x", ("w", 1, 2.0, 3, "v"), None
    )
    assert cause_of(record).words == ("w", "v")


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 60_000)), min_size=1, max_size=60))
def test_whatever_is_logged_the_bytes_are_bounded(steps: list[tuple[float, int]]) -> None:
    """Each line another cause, as long as can be: no collapsing helps, and the budget holds."""
    log = Log()
    written = 0
    for number, (pause, size) in enumerate(steps):
        log.now += pause
        log.logger.error("e%d text=%s", number, "x" * size, extra={"cause": str(number)})
        written = len(log.out.getvalue())
        assert written <= BURST_BYTES + log.now * BYTES_PER_PERIOD / PERIOD_S + 1


def test_a_month_of_the_worst_stays_within_the_bound() -> None:
    """The burst at once, everything that comes in after, and one line an hour about what was left
    out."""
    log = Log()
    for number in range(80):
        log.logger.error("flood x=%s", "x" * 100_000, extra={"cause": str(number)})
    assert len(log.out.getvalue()) > 0.9 * BURST_BYTES, "what is new may use all of it"
    for hour in range(200):
        log.now += 3600
        for number in range(10):
            log.logger.error("flood x=%s", "x" * 20_000, extra={"cause": f"{hour}/{number}"})
    assert "log-limited lines=" in log.out.getvalue()
    per_s = (len(log.out.getvalue()) - BURST_BYTES) / (200 * 3600)
    assert BURST_BYTES + per_s * MONTH_S < ALLOWED


def test_counts_give_way_before_what_is_new() -> None:
    log = Log()
    log.handler._budget._left = 500_000.0
    for _ in range(120):
        log.logger.warning("lost key=%s", "a")
        log.pass_(1)
    assert log.lines == ["lost key=a"]
    log.logger.error("new key=%s", "b")
    assert log.lines[-1] == "new key=b"


def test_what_lasts_is_said_once_and_then_one_line_in_ten_minutes_for_all() -> None:
    log = Log()
    for key in ("a", "b", "c"):
        log.logger.warning("lost key=%s reason=%r", key, "refused", extra={"lasts": True})
        log.pass_(30)
    log.pass_(3600)
    first, lasting = log.lines[:3], log.lines[3:]
    assert first == [f"lost key={key} reason='refused'" for key in "abc"]
    assert len(lasting) == 6
    assert all(line.startswith("lost key=c reason='refused' lasts_s=") for line in lasting)
    assert all(line.endswith(" causes=3") for line in lasting)
    for key in ("a", "b", "c"):
        log.logger.info("back key=%s", key, extra={"ends": ("lost", key)})
        log.pass_(30)
    assert log.lines[9:] == [f"back key={key}" for key in "abc"], (
        "nothing was counted, so there is nothing to sum up"
    )
    log.pass_(7200)
    assert len(log.lines) == 12
    assert log.handler._counter.due is None, "and nothing is remembered"
    log.logger.warning("lost key=%s reason=%r", "a", "refused", extra={"lasts": True})
    assert log.lines[-1] == "lost key=a reason='refused'"


def test_another_reason_takes_the_place_of_the_one_that_lasted() -> None:
    log = Log()
    for reason in ("refused", "no route", "refused"):
        log.logger.warning(
            "lost key=%s reason=%r", "a", reason, extra={"lasts": True, "ends": ("lost", "a")}
        )
        log.pass_(100)
    assert [line.split("reason=")[1] for line in log.lines] == [
        "'refused'",
        "'no route'",
        "'refused'",
    ]
    log.pass_(700)
    assert "causes=" not in log.lines[-1]
    assert log.lines[-1].startswith("lost key=a reason='refused' lasts_s=")


def test_what_comes_and_goes_and_then_lasts_is_counted_first() -> None:
    log = Log()
    for _ in range(30):
        log.logger.warning("lost key=%s", "a", extra={"lasts": True})
        log.logger.info("back key=%s", "a", extra={"ends": ("lost", "a")})
        log.pass_(1)
    log.logger.warning("lost key=%s", "a", extra={"lasts": True})
    log.pass_(3600)
    assert [line for line in log.lines if "lasts_s" in line]
    assert len(log.lines) < 20


def test_ten_thousand_causes_that_last_are_few_lines() -> None:
    log = Log()
    for number in range(10_000):
        log.logger.warning("lost key=%s", f"k{number}", extra={"lasts": True})
        log.pass_(0.01)
    log.pass_(3600)
    assert len(log.lines) <= 2 * NEW_CAUSES + 2 * 60
    assert "causes=" in log.lines[-1]
