"""Which tags are not good, and their changes: each told once, boundedly many at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.health import DeviceHealth
from edge_agent.health.tags import FIRST, MOST_MOVES, TagStates
from edge_agent.model import STATUS, Batch, Tag, TagTable, Value, is_bad, is_good

SENSOR, RANGE = STATUS["BadSensorFailure"], STATUS["UncertainEngineeringUnitsExceeded"]


def table(width: int) -> TagTable:
    return TagTable("dev", 1.0, tuple(Tag(f"t{i}", "float", None) for i in range(width)))


THREE = table(3)


def whole(status: dict[int, int], of: TagTable = THREE) -> Batch:
    values: list[Value] = [None if is_bad(status.get(i, 0)) else 1.0 for i in range(len(of))]
    return Batch(of, 1, values, status)


def brief(states: TagStates) -> list[tuple[str, str, str]]:
    return [(move["tag"], move["from"], move["to"]) for move in states.moves()]


def test_a_tag_goes_bad_and_comes_back_each_told_once() -> None:
    states = TagStates()
    states.note(whole({}))
    assert brief(states) == []
    for _ in range(3):
        states.note(whole({1: SENSOR}))
    assert (states.bad, states.reason) == (1, "BadSensorFailure")
    (move,) = states.moves()
    assert (move["tag"], move["from"], move["to"], move["reason"]) == (
        "t1",
        "Good",
        *["BadSensorFailure"] * 2,
    )
    assert move["zh"]
    assert move["en"]
    assert states.moves() == []
    states.note(whole({1: RANGE}))
    assert (states.bad, states.uncertain) == (0, "UncertainEngineeringUnitsExceeded")
    assert brief(states) == [("t1", "BadSensorFailure", "UncertainEngineeringUnitsExceeded")]
    states.note(whole({}))
    assert brief(states) == [("t1", "UncertainEngineeringUnitsExceeded", "Good")]
    assert not states.any


def test_what_is_back_where_it_was_has_not_moved() -> None:
    states = TagStates()
    states.note(whole({0: SENSOR}))
    states.note(whole({}))
    assert states.moves() == []


def test_parts_of_a_table_change_only_their_own_tags() -> None:
    states = TagStates()
    states.note(whole({0: SENSOR, 2: SENSOR}))
    states.note(Batch(THREE, 2, [1.0], columns=[2]))
    assert [row["tag"] for row in states.not_good()] == ["t0"]
    states.note(Batch(THREE, 3, [None], {0: SENSOR}, columns=[1]))
    assert states.bad == 2


def test_the_failure_of_the_whole_device_is_not_said_once_more_for_each_tag() -> None:
    states, other = TagStates(), table(2)
    states.note(whole({}))
    for of in (THREE, other):
        states.all_failed(Batch.failed(of, 2, STATUS["BadTimeout"]))
    assert states.bad == 5
    assert states.moves() == []
    states.note(whole({0: SENSOR}))
    assert states.bad == 3, "the other table has not been answered yet"
    assert brief(states) == [("t0", "Good", "BadSensorFailure")]
    states.note(whole({}, other))
    assert states.moves() == []


def test_a_flood_is_told_in_portions_and_nothing_of_it_is_lost() -> None:
    wide, states, told = table(3 * MOST_MOVES - 1), TagStates(), []
    states.note(whole(dict.fromkeys(range(len(wide)), SENSOR), wide))
    while moves := states.moves():
        assert len(moves) <= MOST_MOVES
        told += [move["tag"] for move in moves]
    assert sorted(told) == sorted(wide.names)


CODES = st.sampled_from([0, 0x480, SENSOR, RANGE, STATUS["BadTimeout"]])


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 2), unique=True, min_size=1), CODES, st.booleans()),
        max_size=30,
    )
)
def test_the_moves_add_up_to_what_is(steps: list[tuple[list[int], int, bool]]) -> None:
    states = TagStates()
    now: dict[str, str] = {}
    good: set[str] = set()
    for columns, code, asked in steps:
        status = dict.fromkeys(range(len(columns)), code) if code else {}
        states.note(Batch(THREE, 1, [None] * len(columns), status, columns=columns))
        good |= {THREE.names[column] for column in columns if is_good(code)}
        for tag, before, after in brief(states) if asked else ():
            assert now.get(tag, "Good" if tag in good else FIRST) == before != after
            now[tag] = after
    for tag, before, after in brief(states):
        assert now.get(tag, "Good" if tag in good else FIRST) == before
        now[tag] = after
    assert {row["tag"]: row["status"] for row in states.not_good()} == {
        k: v for k, v in now.items() if v != "Good"
    }


def test_a_tag_that_was_never_good_does_not_come_from_good() -> None:
    states = TagStates()
    states.note(Batch(THREE, 1, [1.0], columns=[2]))
    states.note(Batch(THREE, 2, [None, None], {0: SENSOR, 1: SENSOR}, columns=[0, 2]))
    assert brief(states) == [
        ("t0", "starting", "BadSensorFailure"),
        ("t2", "Good", "BadSensorFailure"),
    ]
    states.note(whole({}))
    assert brief(states) == [("t0", "BadSensorFailure", "Good"), ("t2", "BadSensorFailure", "Good")]
    states.note(whole({0: SENSOR}))
    assert brief(states) == [("t0", "Good", "BadSensorFailure")]


def test_the_first_state_of_a_table_that_is_good_while_the_device_is_online_is_known() -> None:
    """A later table of a device that is online: nothing is wrong in it, and yet it has to be looked
    at once."""
    other = table(2)
    health = DeviceHealth("d", 5, 5.0, 0.0)
    health.answered(whole({}), 1.0, 0.01)
    health.answered(whole({}, other), 1.0, 0.01)
    health.answered(whole({1: SENSOR}, other), 2.0, 0.01)
    (move,) = health.row(3.0)["tag_transitions"]
    assert (move["from"], move["to"]) == ("Good", "BadSensorFailure")


def test_an_optional_tag_that_is_absent_from_the_beginning_has_not_moved() -> None:
    tags = tuple(Tag(f"t{i}", "float", None, optional=True) for i in range(2))
    states = TagStates()
    states.note(whole({1: STATUS["BadNodeIdUnknown"]}, TagTable("dev", 1.0, tags)))
    assert states.moves() == []
