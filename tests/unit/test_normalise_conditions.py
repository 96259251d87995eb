"""State rules for machines that say little: thresholds, `all`, `any`, and conditions that must
last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from edge_agent import payload
from edge_agent.app.agent.device_factory import DeviceFactory
from edge_agent.clock import Clock
from edge_agent.config.models import DeviceCommon, StateConfig
from edge_agent.config.plugins import plugins_or_installed
from edge_agent.model import STATUS, Batch, Tag, TagTable, Value, is_good
from edge_agent.normalise import Normaliser
from edge_agent.normalise.state import StateMachine
from edge_agent.outbox import Outbox
from edge_agent.production.signals import is_controller
from edge_agent.topics import Topics
from tests.support.sites import site

NOT_AVAILABLE, OUT_OF_SERVICE, NOT_EXECUTING, EXECUTING = range(4)
UNCERTAIN = STATUS["UncertainEngineeringUnitsExceeded"]
UNDECIDED = STATUS["UncertainInitialValue"]


class Watched:
    """One table, its rules and a clock that a test sets."""

    def __init__(self, tags: tuple[Tag, ...], item: list[dict[str, Any]]) -> None:
        self.table, self.now = TagTable("press", 1.0, tags), 100.0
        state = StateConfig.model_validate({"item": item})
        machine = StateMachine.compile(state, (self.table,), frozenset(), now=lambda: self.now)
        assert machine is not None
        self.normaliser = Normaliser(self.table, machine)

    def at(
        self, now: float, *values: Value, status: dict[int, int] | None = None
    ) -> tuple[Value, int]:
        """The state and its status after a reading."""
        self.now = 100.0 + now
        batch = Batch(self.table, 1, list(values), status)
        self.normaliser.apply(batch)
        return batch.values[-1], batch.status.get(len(batch.values) - 1, 0)


CURRENT = (Tag("current", "float", None, low=0.0, high=50.0),)
LAMPS = tuple(Tag(name, "bool", None) for name in ("red", "yellow", "green"))


def numbers(watched: Watched, *values: float) -> list[Value]:
    return [watched.at(number, value)[0] for number, value in enumerate(values)]


def test_thresholds_are_strict_and_between_has_both_ends() -> None:
    made = Watched(
        CURRENT,
        [
            {"tag": "current", "above": 5, "gives": "Executing"},
            {"tag": "current", "between": [1, 5], "gives": "NotExecuting"},
            {"tag": "current", "below": 1, "gives": "OutOfService"},
        ],
    )
    assert numbers(made, 5.01, 5.0, 1.0, 0.99) == [
        EXECUTING,
        NOT_EXECUTING,
        NOT_EXECUTING,
        OUT_OF_SERVICE,
    ]


def test_what_is_stated_together_must_hold_together() -> None:
    made = Watched(
        CURRENT,
        [
            {"tag": "current", "above": 2, "below": 4, "gives": "Executing"},
            {"gives": "OutOfService"},
        ],
    )
    assert numbers(made, 2.0, 3.0, 4.0) == [OUT_OF_SERVICE, EXECUTING, OUT_OF_SERVICE]


def test_a_machine_works_after_its_current_has_been_high_for_so_long_and_rests_at_once() -> None:
    made = Watched(
        CURRENT,
        [
            {"tag": "current", "above": 5, "for": "5s", "gives": "Executing"},
            {"gives": "NotExecuting"},
        ],
    )
    assert [made.at(t, 9.0)[0] for t in (0, 3, 4.9, 5, 6)] == [NOT_EXECUTING] * 3 + [EXECUTING] * 2
    assert made.at(7, 1.0)[0] == NOT_EXECUTING
    assert [made.at(t, 9.0)[0] for t in (8, 12, 13)] == [NOT_EXECUTING, NOT_EXECUTING, EXECUTING]


def test_while_no_rule_is_certain_the_state_stays_as_it_was() -> None:
    """A dip of the current, as at each stroke of a press, is no standstill."""
    made = Watched(
        CURRENT,
        [
            {"tag": "current", "above": 5, "for": "5s", "gives": "Executing"},
            {"tag": "current", "below": 5.01, "for": "10s", "gives": "NotExecuting"},
        ],
    )
    assert made.at(0, 9.0) == (NOT_AVAILABLE, UNDECIDED)
    assert made.at(5, 9.0)[0] == EXECUTING
    assert [made.at(t, 1.0)[0] for t in (6, 9)] == [EXECUTING] * 2
    assert [made.at(t, 9.0)[0] for t in (10, 11)] == [EXECUTING] * 2
    assert [made.at(t, 1.0)[0] for t in (12, 21.9, 22)] == [EXECUTING, EXECUTING, NOT_EXECUTING]


def test_time_does_not_run_while_the_value_is_bad_and_the_former_state_is_forgotten() -> None:
    made = Watched(CURRENT, [{"tag": "current", "above": 5, "for": "5s", "gives": "Executing"}])
    made.at(0, 9.0)
    assert made.at(5, 9.0)[0] == EXECUTING
    assert made.at(6, None, status={0: STATUS["BadTimeout"]}) == (None, STATUS["BadTimeout"])
    assert made.at(7, 9.0) == (NOT_AVAILABLE, UNDECIDED)
    assert made.at(12, 9.0) == (EXECUTING, 0)


def test_the_time_of_each_rule_runs_whichever_fits() -> None:
    made = Watched(
        LAMPS,
        [
            {"tag": "red", "equals": True, "gives": "OutOfService"},
            {"tag": "green", "equals": True, "for": "5s", "gives": "Executing"},
            {"gives": "NotExecuting"},
        ],
    )
    assert made.at(0, True, False, True)[0] == OUT_OF_SERVICE
    assert made.at(6, False, False, True)[0] == EXECUTING
    made.at(7, True, False, False)
    assert made.at(8, False, False, True)[0] == NOT_EXECUTING  # green was off in between


def test_a_flashing_lamp_is_neither_on_nor_off() -> None:
    made = Watched(
        LAMPS,
        [
            {"tag": "yellow", "equals": True, "for": "2s", "gives": "NotExecuting"},
            {"tag": "yellow", "equals": False, "for": "2s", "gives": "Executing"},
            {"gives": "OutOfService"},
        ],
    )
    assert [made.at(t, False, t % 2 == 0, False)[0] for t in range(6)] == [OUT_OF_SERVICE] * 6
    assert [made.at(t, False, True, False)[0] for t in (6, 8)] == [OUT_OF_SERVICE, NOT_EXECUTING]


@pytest.mark.parametrize(
    ("asked", "values", "status", "expected"),
    [
        ({"any": ["red", "green"]}, (False, None, True), {1: STATUS["BadTimeout"]}, EXECUTING),
        ({"any": ["red", "green"]}, (None, True, True), {0: STATUS["BadTimeout"]}, EXECUTING),
        ({"any": ["red", "green"]}, (None, True, False), {0: STATUS["BadTimeout"]}, None),
        ({"all": ["red", "green"]}, (None, True, False), {0: STATUS["BadTimeout"]}, NOT_EXECUTING),
        ({"all": ["red", "green"]}, (None, True, True), {0: STATUS["BadTimeout"]}, None),
        ({"all": ["red", "green"]}, (True, False, True), None, EXECUTING),
        ({"any": ["red", "green"]}, (False, True, False), None, NOT_EXECUTING),
    ],
)
def test_what_is_certain_whatever_a_bad_value_would_be_is_said(
    asked: dict[str, list[str]],
    values: tuple[Value, ...],
    status: dict[int, int] | None,
    expected: int | None,
) -> None:
    rule = {key: [{"tag": name, "equals": True} for name in names] for key, names in asked.items()}
    made = Watched(LAMPS, [rule | {"gives": "Executing"}, {"gives": "NotExecuting"}])
    found, code = made.at(0, *values, status=dict(status or {}))
    assert found == expected
    assert is_good(code) == (expected is not None)


def test_groups_nest() -> None:
    red, green = {"tag": "red", "equals": True}, {"tag": "green", "equals": True}
    made = Watched(
        LAMPS,
        [
            {
                "all": [{"tag": "yellow", "equals": False}, {"any": [red, green]}],
                "gives": "Executing",
            },
            {"gives": "NotExecuting"},
        ],
    )
    assert made.at(0, True, False, False)[0] == EXECUTING
    assert made.at(1, True, True, True)[0] == NOT_EXECUTING
    assert made.at(2, False, False, False)[0] == NOT_EXECUTING


OPTIONAL = (
    Tag("alarm", "bool", None, optional=True),
    Tag("load", "float", None, optional=True),
    Tag("green", "bool", None),
)
ABSENT = {0: STATUS["BadConfigurationError"], 1: STATUS["BadNodeIdUnknown"]}
GREEN = {"tag": "green", "equals": True, "gives": "Executing"}
IS_ALARM, IS_GREEN = {"tag": "alarm", "equals": True}, {"tag": "green", "equals": True}


@pytest.mark.parametrize(
    ("first", "with_green", "without"),
    [
        ({"tag": "alarm", "equals": True}, EXECUTING, NOT_EXECUTING),
        ({"tag": "alarm", "equals": False}, EXECUTING, NOT_EXECUTING),
        ({"tag": "alarm", "equals": [True, False], "for": "1s"}, EXECUTING, NOT_EXECUTING),
        ({"tag": "load", "above": -1000}, EXECUTING, NOT_EXECUTING),
        ({"tag": "load", "between": [-1000, 1000]}, EXECUTING, NOT_EXECUTING),
        ({"all": [IS_ALARM, IS_GREEN]}, EXECUTING, NOT_EXECUTING),
        ({"any": [IS_ALARM, {"tag": "load", "below": 1000}]}, EXECUTING, NOT_EXECUTING),
        ({"any": [IS_ALARM, IS_GREEN]}, OUT_OF_SERVICE, NOT_EXECUTING),
        ({"all": [IS_GREEN, {"any": [IS_ALARM, IS_GREEN]}]}, OUT_OF_SERVICE, NOT_EXECUTING),
    ],
)
def test_what_is_asked_of_an_optional_tag_that_is_absent_does_not_hold(
    first: dict[str, Any], with_green: int, without: int
) -> None:
    made = Watched(OPTIONAL, [first | {"gives": "OutOfService"}, GREEN, {"gives": "NotExecuting"}])
    assert made.at(0, None, None, True, status=dict(ABSENT)) == (with_green, 0)
    assert made.at(9, None, None, False, status=dict(ABSENT)) == (without, 0)


def test_an_optional_tag_that_is_there_and_bad_makes_the_state_bad() -> None:
    made = Watched(OPTIONAL, [IS_ALARM | {"gives": "OutOfService"}, GREEN])
    for code in map(
        STATUS.__getitem__, ("BadTimeout", "BadWaitingForInitialData", "BadSensorFailure")
    ):
        assert made.at(0, None, None, True, status=ABSENT | {0: code}) == (None, code)


def test_a_tag_that_is_not_optional_and_not_there_makes_the_state_bad() -> None:
    made = Watched(
        LAMPS, [{"tag": "red", "equals": True, "gives": "OutOfService"}, {"gives": "NotExecuting"}]
    )
    code = STATUS["BadConfigurationError"]
    assert made.at(0, None, False, True, status={0: code}) == (None, code)


def test_a_state_all_of_whose_tags_are_absent_is_bad_and_no_default() -> None:
    made = Watched(OPTIONAL, [IS_ALARM | {"gives": "OutOfService"}, {"gives": "NotExecuting"}])
    assert made.at(0, None, None, True, status=dict(ABSENT)) == (None, ABSENT[0])
    assert made.at(1, False, None, True, status={1: ABSENT[1]}) == (NOT_EXECUTING, 0)


def test_a_state_that_rests_on_an_uncertain_value_is_uncertain() -> None:
    made = Watched(
        CURRENT, [{"tag": "current", "above": 5, "gives": "Executing"}, {"gives": "NotExecuting"}]
    )
    assert made.at(0, 80.0) == (EXECUTING, UNCERTAIN)  # beyond the range of its transformer
    assert made.at(1, -3.0) == (NOT_EXECUTING, UNCERTAIN)
    assert made.at(2, 8.0) == (EXECUTING, 0)


def test_a_threshold_of_what_is_no_number_is_told() -> None:
    made = Watched(
        (Tag("current", "any", None),), [{"tag": "current", "above": 5, "gives": "Executing"}]
    )
    assert made.at(0, "high") == (None, STATUS["BadTypeMismatch"])
    assert made.at(1, True) == (None, STATUS["BadTypeMismatch"])


PUMP = """
devices:
  - id: pump-01
    connector: modbus
    url: tcp://127.0.0.1:1
    every: 1h
    state:
      item:
        - {tag: current, above: 5, for: 5s, gives: Executing}
        - {gives: NotExecuting}
    tags:
      current: {address: input/0, type: float32, unit: A}
      part_count: {address: input/2}
"""


def test_the_state_changes_when_its_time_is_over_although_no_value_comes(tmp_path: Path) -> None:
    """A subscription says nothing while its value stays."""
    outbox = Outbox(tmp_path / "outbox", agent="ipc-01", max_bytes=1 << 24, fsync_ms=10_000)
    sent: list[dict[str, Any]] = []
    append = outbox.append

    def keep(topic: str, head: bytes, tail: bytes, t: int, values: int) -> Any:
        if topic.endswith("/data"):
            sent.append(orjson.loads(b'{"a":1' + tail))
        return append(topic, head, tail, t, values)

    outbox.append = keep  # type: ignore[method-assign]
    try:
        found = site(tmp_path, PUMP)
        clock = Clock()
        workshop = DeviceFactory(found.agent, Topics("edge", "e", "s"), outbox, clock)
        member = workshop.make(found.devices[0], plugins_or_installed(None)["modbus"])
        device = member.polled
        (table,) = device.plan.tables
        begin = clock.monotonic()
        device.answered(Batch(table, 1, [9.0, 4]), begin)
        device.watch(begin + 1.0, 2)
        assert [each["values"]["machine_state"] for each in sent] == [NOT_EXECUTING]
        normaliser = device.normalisers[table]
        machine = normaliser._state
        assert machine is not None
        machine._now = lambda: begin + 6.0
        device.watch(begin + 6.0, 3)
        assert sent[-1]["values"] == {"machine_state": EXECUTING}
        device.watch(begin + 7.0, 4)
        assert len(sent) == 2
        birth = orjson.loads(b"".join(member.birth))
        assert birth["state_basis"] == "derived"
        assert (
            birth["tags"]["machine_state"]["note"]
            == "derived from current, not stated by a controller"
        )
    finally:
        outbox.close_now()


@pytest.mark.parametrize(
    ("state", "basis", "derived"),
    [
        ({"item": [{"tag": "a", "above": 1, "gives": "Executing"}]}, None, True),
        (
            {
                "item": [
                    {"any": [{"all": [{"tag": "a", "equals": 1, "for": 1}]}], "gives": "Executing"}
                ]
            },
            None,
            True,
        ),
        ({"mode": [{"tag": "a", "between": [1, 2], "gives": "Setup"}]}, None, True),
        ({"item": {"tag": "a", "map": {1: "Executing"}}}, None, False),
        ({"item": [{"tag": "a", "equals": True, "gives": "Executing"}]}, None, False),
        ({"item": [{"tag": "a", "equals": True, "gives": "Executing"}]}, "derived", True),
        ({"item": [{"tag": "a", "above": 1, "gives": "Executing"}]}, "controller", False),
        (None, "derived", False),
    ],
)
def test_what_a_state_rests_on_decides_whether_the_controller_speaks(
    state: dict[str, Any] | None, basis: str | None, derived: bool
) -> None:
    device = DeviceCommon.model_validate(
        {
            "id": "m",
            "connector": "modbus",
            "state": state,
            "state_basis": basis,
            "tags": {"part_count": {}},
        }
    )
    assert device.derives_state is derived
    assert is_controller(device) is (not derived and state is not None)


def test_rules_without_a_time_ask_no_clock() -> None:
    def never() -> float:
        raise AssertionError("asked for the time")

    state = StateConfig.model_validate(
        {"item": [{"tag": "current", "above": 5, "gives": "Executing"}]}
    )
    table = TagTable("pump", 1.0, CURRENT)
    machine = StateMachine.compile(state, (table,), frozenset(), now=never)
    normaliser = Normaliser(table, machine)
    batch = Batch(table, 1, [6.0])
    normaliser.apply(batch)
    assert batch.values[-1] == EXECUTING
    assert not normaliser.timed
    assert orjson.loads(b'{"a":1' + payload.data_tail(batch))["values"] == {
        "current": 6.0,
        "machine_state": 3,
    }
